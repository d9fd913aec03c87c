//! Nonces for DPoP proofs (RFC 9449, section 8): a proof that names one is fresh by
//! our time, whatever the endpoint's clock says.

use armour_storage::{Keyring, Store};
use axum::{
    extract::{Request, State},
    http::HeaderValue,
    middleware::Next,
    response::Response,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Duration, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// How long a nonce is taken, in seconds.
pub const LIFE: i64 = 60;
/// How far replicas' ideas of the database's time may differ, in seconds.
const LEEWAY: i64 = 30;
/// A new one this often, in seconds, so that most answers repeat the last.
const EVERY: i64 = 15;
/// Version of the master key, seconds since 1970, tag.
const LEN: usize = 4 + 8 + 16;

/// A nonce of this time; none if no master key is loaded.
pub fn issue(keyring: &Keyring, now: DateTime<Utc>) -> Option<String> {
    let version = keyring.versions().max()?;
    let seconds = now.timestamp().div_euclid(EVERY) * EVERY;
    let mac = mac(keyring, version, seconds)?;
    let tag = mac.finalize().into_bytes();
    let bytes = [
        &version.to_be_bytes()[..],
        &seconds.to_be_bytes(),
        &tag[..16],
    ]
    .concat();
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

/// Until when a proof with this nonce is taken; `None` if it is not ours or too old.
pub fn check(keyring: &Keyring, text: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let bytes: [u8; LEN] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
    let (version, rest) = bytes.split_first_chunk::<4>()?;
    let (seconds, tag) = rest.split_first_chunk::<8>()?;
    let seconds = i64::from_be_bytes(*seconds);
    let mac = mac(keyring, i32::from_be_bytes(*version), seconds)?;
    mac.verify_truncated_left(tag).ok()?;
    let issued = DateTime::from_timestamp(seconds, 0)?;
    let until = issued + Duration::seconds(LIFE + EVERY);
    (issued <= now + Duration::seconds(LEEWAY) && now <= until)
        .then_some(until + Duration::seconds(LEEWAY))
}

fn mac(keyring: &Keyring, version: i32, seconds: i64) -> Option<Hmac<Sha256>> {
    let key = keyring.platform_key(version, "dpop-nonce").ok()?;
    let mac = Hmac::<Sha256>::new_from_slice(&key[..]).ok()?;
    Some(mac.chain_update(seconds.to_be_bytes()))
}

/// Gives whoever sent a proof the nonce for the next (section 8.2).
pub async fn offer(State(store): State<Store>, request: Request, next: Next) -> Response {
    let proves = request.headers().contains_key("dpop");
    let mut response = next.run(request).await;
    if proves
        && let Some(nonce) = issue(store.keyring(), store.now())
        && let Ok(value) = HeaderValue::from_str(&nonce)
    {
        response.headers_mut().insert("dpop-nonce", value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_taken_for_its_life_by_whoever_holds_the_key() {
        let mut ring = Keyring::new();
        ring.add(1, &"11".repeat(32)).unwrap();
        let mut other = Keyring::new();
        other.add(1, &"22".repeat(32)).unwrap();
        let now = DateTime::UNIX_EPOCH + Duration::days(20_000);
        let nonce = issue(&ring, now).unwrap();
        for seconds in [-20, 0, LIFE] {
            let then = now + Duration::seconds(seconds);
            let until = check(&ring, &nonce, then).unwrap();
            assert!(until > then);
            assert!(check(&other, &nonce, then).is_none());
        }
        for seconds in [-LEEWAY - EVERY - 1, LIFE + EVERY + 1] {
            assert!(check(&ring, &nonce, now + Duration::seconds(seconds)).is_none());
        }
        let mut bytes = URL_SAFE_NO_PAD.decode(&nonce).unwrap();
        for at in 0..LEN {
            bytes[at] ^= 1;
            let forged = URL_SAFE_NO_PAD.encode(&bytes);
            assert!(check(&ring, &forged, now).is_none(), "byte {at}");
            bytes[at] ^= 1;
        }
        assert!(check(&ring, "", now).is_none());
    }
}
