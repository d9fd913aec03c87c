//! Whether a key is the one that an endpoint's living start signs with.

use armour_api::{EndpointState, ProblemType};
use armour_protocol::v2::identity::start::StartHash;
use armour_storage::Standing;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Duration, Utc};

use crate::http::problem::ApiError;

/// For how long a key that was renewed still shows who calls.
const RENEWED_KEY_SERVES: Duration = Duration::minutes(10);

/// Why a key shows nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotLiving {
    /// The endpoint does not exist.
    Unknown,
    /// Its keys are no longer trusted.
    Revoked,
    /// Somebody else holds its keys.
    Collided,
    /// It is not of the living start.
    Ended,
}

/// The living start that signs with this key, base64url.
///
/// # Errors
/// Why there is none.
pub fn living_start(
    standing: Option<&Standing>,
    key: &str,
    now: DateTime<Utc>,
) -> Result<StartHash, NotLiving> {
    let standing = standing.ok_or(NotLiving::Unknown)?;
    match standing.state {
        EndpointState::Active => {}
        EndpointState::Revoked => return Err(NotLiving::Revoked),
        EndpointState::Collided => return Err(NotLiving::Collided),
    }
    let living = standing.living.as_ref().ok_or(NotLiving::Ended)?;
    let is = |bytes: &[u8; 32]| URL_SAFE_NO_PAD.encode(bytes) == key;
    let serves = match &living.keys[..] {
        [(current, _), ..] if is(current) => true,
        [(_, renewed), (before, _), ..] if is(before) => now - *renewed <= RENEWED_KEY_SERVES,
        _ => false,
    };
    match serves {
        true => Ok(living.hash),
        false => Err(NotLiving::Ended),
    }
}

/// 403: the endpoint's keys are no longer trusted.
pub fn revoked() -> ApiError {
    ApiError::new(ProblemType::EndpointRevoked, "the endpoint was revoked")
}

/// 403: somebody else holds the endpoint's keys.
pub fn collided() -> ApiError {
    ApiError::new(
        ProblemType::IdentityCollided,
        "somebody else holds this endpoint's keys; enrol it anew",
    )
}

/// 409: another start is the endpoint now, or none is.
pub fn start_ended() -> ApiError {
    ApiError::new(
        ProblemType::StartEnded,
        "this start of the endpoint has ended; start anew",
    )
}

#[cfg(test)]
mod tests {
    use armour_storage::LivingStart;

    use super::*;

    #[test]
    fn a_renewed_key_serves_for_ten_minutes_and_no_other_does() {
        let at = DateTime::UNIX_EPOCH;
        let living = LivingStart {
            hash: StartHash([1; 32]),
            keys: vec![([3; 32], at), ([2; 32], at - Duration::days(1))],
        };
        let mut standing = Standing {
            state: EndpointState::Active,
            living: Some(living),
        };
        let key = |byte| URL_SAFE_NO_PAD.encode([byte; 32]);
        let ask = |standing: &Standing, byte, minutes| {
            living_start(Some(standing), &key(byte), at + Duration::minutes(minutes))
        };
        assert_eq!(ask(&standing, 3, 60), Ok(StartHash([1; 32])));
        assert_eq!(ask(&standing, 2, 10), Ok(StartHash([1; 32])));
        assert_eq!(ask(&standing, 2, 11), Err(NotLiving::Ended));
        assert_eq!(ask(&standing, 1, 0), Err(NotLiving::Ended));
        standing.state = EndpointState::Collided;
        assert_eq!(ask(&standing, 3, 0), Err(NotLiving::Collided));
        assert_eq!(living_start(None, &key(3), at), Err(NotLiving::Unknown));
        let ended = Standing {
            state: EndpointState::Active,
            living: None,
        };
        assert_eq!(ask(&ended, 3, 0), Err(NotLiving::Ended));
    }
}
