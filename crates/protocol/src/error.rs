//! What can be wrong with bytes that a primitive is given.

use thiserror::Error;

/// The primitives' result.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a primitive gives nothing. What that means for a lane says [`crate::v2::error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// Fewer or more bytes than there must be, or no key.
    #[error("malformed")]
    Malformed,
    /// A key share of low order, or no key.
    #[error("bad key share")]
    KeyShare,
    /// What was sealed does not open.
    #[error("sealed bytes do not open")]
    Seal,
}
