//! Why an identity's message was not taken.

use thiserror::Error;

use crate::v2::error::HeadError;

/// Why a certificate, a start or a link was not taken. Nothing has changed, and nobody is
/// accused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IdentityError {
    /// Not the one way to write it: too short, too long, or a field out of range.
    #[error("malformed")]
    Malformed,
    /// Another version of the protocol.
    #[error("unknown protocol version")]
    Version,
    /// Not signed by the key that must have signed it.
    #[error("signature does not verify")]
    Signature,
    /// Of another tenant or party than the pinned one.
    #[error("not the pinned party")]
    Party,
    /// Of another endpoint, role, key or incarnation than is meant here.
    #[error("not the endpoint that is meant")]
    Subject,
    /// Past its end.
    #[error("expired")]
    Expired,
    /// More than one message may hold, or numbers are used up.
    #[error("too much for one message")]
    TooLarge,
}

impl From<HeadError> for IdentityError {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::Version => Self::Version,
            _ => Self::Malformed,
        }
    }
}
