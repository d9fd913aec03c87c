//! Cipher suites. There is no negotiation: the pair's policy names the suite.

use crate::{Error, Result};

/// A cipher suite. Both use ChaCha20-Poly1305 (RFC 8439), HKDF-SHA-256
/// (RFC 5869) and Ed25519 (RFC 8032).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Suite {
    /// X25519 (RFC 7748).
    X25519 = 1,
    /// X25519 together with ML-KEM-768 (FIPS 203).
    X25519MlKem768 = 2,
}

impl Suite {
    /// The suite with this number on the wire.
    ///
    /// # Errors
    /// [`Error::Suite`] for a number that names none.
    pub fn from_u8(number: u8) -> Result<Self> {
        match number {
            1 => Ok(Self::X25519),
            2 => Ok(Self::X25519MlKem768),
            _ => Err(Error::Suite),
        }
    }

    /// Bytes of a key share that answers no earlier one (a lane's first).
    pub fn opening_share_len(self) -> usize {
        match self {
            Self::X25519 => 32,
            Self::X25519MlKem768 => 32 + 1184,
        }
    }

    /// Bytes of a key share that answers the peer's latest one.
    pub fn share_len(self) -> usize {
        match self {
            Self::X25519 => 32,
            Self::X25519MlKem768 => 32 + 1184 + 1088,
        }
    }
}
