//! Cipher suites. There is no negotiation: a bundle is minted with one.

use crate::crypto::Cipher;

use super::error::HeadError;

/// A cipher suite. All use HKDF-SHA-256 (RFC 5869) and Ed25519 (RFC 8032, strict).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Suite {
    /// X25519 (RFC 7748), ChaCha20-Poly1305 (RFC 8439).
    X25519ChaCha20Poly1305 = 1,
    /// The same with ML-KEM-768 (FIPS 203). It claims confidentiality only: signatures
    /// stay classical.
    X25519MlKem768ChaCha20Poly1305 = 2,
    /// X25519 and AES-256-GCM (NIST SP 800-38D).
    X25519Aes256Gcm = 3,
}

impl Suite {
    /// Every suite.
    pub const ALL: [Self; 3] = [
        Self::X25519ChaCha20Poly1305,
        Self::X25519MlKem768ChaCha20Poly1305,
        Self::X25519Aes256Gcm,
    ];

    /// The suite with this number on the wire.
    ///
    /// # Errors
    /// [`HeadError::Suite`] for a number that names none.
    pub fn from_u8(number: u8) -> Result<Self, HeadError> {
        let named = Self::ALL.into_iter().find(|suite| *suite as u8 == number);
        named.ok_or(HeadError::Suite)
    }

    /// Bytes of a key share: of a lane's first, which answers none, or of any other.
    pub fn share_len(self, first: bool) -> usize {
        match first {
            true => self.agreement().opening_share_len(),
            false => self.agreement().share_len(),
        }
    }

    /// Bytes of a sub-receipt's key share, which nothing answers.
    pub fn last_share_len(self) -> usize {
        self.agreement().last_share_len()
    }

    /// How keys are agreed.
    pub(crate) fn agreement(self) -> crate::agreement::Agreement {
        match self {
            Self::X25519ChaCha20Poly1305 | Self::X25519Aes256Gcm => {
                crate::agreement::Agreement::X25519
            }
            Self::X25519MlKem768ChaCha20Poly1305 => crate::agreement::Agreement::X25519MlKem768,
        }
    }

    pub(crate) fn cipher(self, key: &[u8; 32]) -> Cipher {
        match self {
            Self::X25519ChaCha20Poly1305 | Self::X25519MlKem768ChaCha20Poly1305 => Cipher::new(key),
            Self::X25519Aes256Gcm => Cipher::aes_256_gcm(key),
        }
    }
}
