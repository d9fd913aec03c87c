//! How keys and times are written for people and programs.

use anyhow::{Context as _, anyhow};
use armour_ambient::Clock;
use armour_protocol::v2::identity::{self, certificate::UnixTime};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, SecondsFormat};
use ed25519_dalek::VerifyingKey;

/// Bytes in base64.
///
/// # Errors
/// If they are not.
pub(super) fn base64(text: &str) -> anyhow::Result<Vec<u8>> {
    STANDARD.decode(text.trim()).context("not base64")
}

/// Bytes as base64.
pub(super) fn to_base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// 32 bytes in base64: a KEM key.
///
/// # Errors
/// If they are not.
pub(super) fn bytes32(text: &str) -> anyhow::Result<[u8; 32]> {
    let bytes = base64(text)?.try_into();
    bytes.map_err(|_| anyhow!("not 32 bytes in base64"))
}

/// An Ed25519 public key in base64.
///
/// # Errors
/// If it is none that the protocol takes.
pub(super) fn public_key(text: &str) -> anyhow::Result<VerifyingKey> {
    identity::public_key(&bytes32(text)?).map_err(|_| anyhow!("not an Ed25519 public key"))
}

/// The time, in whole seconds.
pub(super) fn now(clock: &Clock) -> UnixTime {
    UnixTime(u64::try_from(clock.now().timestamp()).unwrap_or(0))
}

/// A time for people: RFC 3339 in UTC.
pub(super) fn time(at: UnixTime) -> String {
    let known = i64::try_from(at.0)
        .ok()
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    known.map_or_else(
        || format!("{} s after 1970", at.0),
        |time| time.to_rfc3339_opts(SecondsFormat::Secs, true),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_the_protocol_refuses_are_refused() {
        let key = ed25519_dalek::SigningKey::from_bytes(&[1; 32]).verifying_key();
        let text = to_base64(key.as_bytes());
        assert_eq!(public_key(&format!(" {text}\n")).unwrap(), key);
        // The neutral point, which anybody can sign for; 31 bytes; no base64.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        for wrong in [&to_base64(neutral), &to_base64([7; 31]), "?"] {
            assert!(public_key(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_time_that_no_calendar_has_is_shown_all_the_same() {
        assert_eq!(time(UnixTime(1_800_000_000)), "2027-01-15T08:00:00Z");
        assert!(time(UnixTime(u64::MAX)).contains("after 1970"));
    }
}
