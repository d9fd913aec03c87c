//! What can be wrong with bytes that a peer sent.

use thiserror::Error;

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a head, segment or signature was refused. None of these changes a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// Fewer or more bytes than the layout needs, or a field out of range.
    #[error("malformed message")]
    Malformed,
    /// The version byte is not [`crate::VERSION`].
    #[error("unknown protocol version")]
    Version,
    /// The suite is unknown or is not the one the bundle names.
    #[error("wrong suite")]
    Suite,
    /// The head names another bundle or lane than this one.
    #[error("wrong bundle or lane")]
    Address,
    /// The ticket's signature does not verify under the endpoint's key.
    #[error("ticket signature does not verify")]
    Signature,
    /// The key share is not the one the ticket names, or is a low-order point.
    #[error("bad key share")]
    KeyShare,
    /// The sender's root is not ours: the key commitment differs.
    #[error("key commitment does not match")]
    Commitment,
    /// A response that answers another ticket than the one in flight.
    #[error("response answers another ticket")]
    Unexpected,
    /// A sealed segment does not open.
    #[error("segment does not open")]
    Seal,
    /// The body ended before its final segment, or went on after it.
    #[error("body is truncated or overlong")]
    Truncated,
    /// The payload's signature does not verify.
    #[error("payload signature does not verify")]
    PayloadSignature,
    /// A counter (exchange number, segment number) is used up.
    #[error("counter exhausted")]
    Exhausted,
}

impl Error {
    /// The stable code of `docs/protocol.md`, section "Error codes".
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Version => "version",
            Self::Suite => "suite",
            Self::Address => "address",
            Self::Signature => "signature",
            Self::KeyShare => "key-share",
            Self::Commitment => "commitment",
            Self::Unexpected => "unexpected",
            Self::Seal => "seal",
            Self::Truncated => "truncated",
            Self::PayloadSignature => "payload-signature",
            Self::Exhausted => "exhausted",
        }
    }
}
