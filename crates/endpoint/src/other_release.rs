//! Has an agent behave as one of a later release, so that tests can run two releases. Only a build
//! with the feature `other-release` does, which is never part of a release.

use std::sync::OnceLock;

use http::{HeaderMap, HeaderName, HeaderValue};
use strum::EnumString;

/// The variable of the environment that says how.
const VARIABLE: &str = "ARMOUR_OTHER_RELEASE";
/// A field that no agent of this release knows.
const FIELD: HeaderName = HeaderName::from_static("armour-of-a-later-release");

/// How a later release differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString)]
#[strum(serialize_all = "kebab-case")]
pub enum OtherRelease {
    /// Another version, and fields that this one does not know.
    Newer,
    /// Agents speak the next version of the protocol with each other, and no other.
    Protocol,
    /// The endpoint's start is of the next version.
    Start,
}

/// How this process is to differ, if at all.
pub fn get() -> Option<OtherRelease> {
    if !cfg!(feature = "other-release") {
        return None;
    }
    static SET: OnceLock<Option<OtherRelease>> = OnceLock::new();
    *SET.get_or_init(|| std::env::var(VARIABLE).ok()?.parse().ok())
}

/// The version of the protocol that agents speak with each other.
pub fn protocol(own: u8) -> u8 {
    match get() {
        Some(OtherRelease::Protocol) => own + 1,
        _ => own,
    }
}

/// The version that an agent says that it is of.
pub fn version(own: &str) -> String {
    match get() {
        None => own.to_owned(),
        Some(_) => format!("{own}-later"),
    }
}

/// Adds a field that this release does not know.
pub fn mark(headers: &mut HeaderMap) {
    if get().is_some() {
        headers.insert(FIELD, HeaderValue::from_static("?1"));
    }
}

/// A start as it is announced.
pub fn start(mut signed: Vec<u8>) -> Vec<u8> {
    if let (Some(OtherRelease::Start), Some(version)) = (get(), signed.first_mut()) {
        *version += 1;
    }
    signed
}
