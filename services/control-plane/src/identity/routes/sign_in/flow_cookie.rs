//! The cookies that hold sign-ins between their two redirects: one for each, so that those
//! of two tabs do not meet.

use armour_storage::Store;
use axum::http::request::Parts;
use axum_extra::extract::cookie::Cookie;
use sha2::{Digest, Sha256};

use crate::identity::{
    authn::cookie,
    oidc::flow::{Flow, MAX_SECONDS},
};

/// What the names begin with. The prefix has browsers take them over TLS, for this host and
/// all paths only.
const PREFIX: &str = "__Host-armour-sign-in-";
/// Most sign-ins that a browser keeps at the same time; an earlier one gives way.
const MAX_KEPT: usize = 4;

/// The cookie of one sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FlowCookie(String);

impl FlowCookie {
    /// That of the sign-in whose answer names this state.
    pub fn of(state: &str) -> Self {
        let hash = Sha256::digest(state.as_bytes());
        Self(format!("{PREFIX}{}", hex::encode(&hash[..8])))
    }

    /// The sign-in, if this browser began it not too long ago.
    pub fn open(&self, parts: &Parts, store: &Store) -> Option<Flow> {
        Flow::open(store, &cookie::value(parts, &self.0)?)
    }

    /// Keeps a sealed sign-in.
    pub fn set(self, sealed: String) -> Cookie<'static> {
        cookie::set(self.0, sealed, MAX_SECONDS)
    }

    /// Keeps it no more.
    pub fn erase(self) -> Cookie<'static> {
        cookie::erase(self.0)
    }

    /// Those that give way to another sign-in: what has ended, then the earliest.
    pub fn giving_way(parts: &Parts, store: &Store) -> Vec<Self> {
        let kept = cookie::names(parts, PREFIX).into_iter();
        let mut kept: Vec<(i64, Self)> = kept
            .map(|name| {
                let cookie = Self(name);
                let expires = cookie.open(parts, store).map_or(0, |flow| flow.expires());
                (expires, cookie)
            })
            .collect();
        kept.sort_by_key(|(expires, _)| std::cmp::Reverse(*expires));
        let beyond = kept.drain(kept.len().min(MAX_KEPT - 1)..);
        beyond.map(|(_, cookie)| cookie).collect()
    }
}
