//! RustCrypto's and dalek's primitives.

use aes_gcm::Aes256Gcm;
use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit, Tag, aead::inout::InOutBuf};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::TAG_LEN;
use crate::{Error, Result};

pub(super) const NAME: &str = "RustCrypto and dalek";

/// An X25519 private key, erased when dropped. On the heap, so that moves leave no copy.
pub(crate) struct X25519Secret(Box<StaticSecret>);

impl X25519Secret {
    /// A key from 32 random bytes.
    pub(crate) fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(Box::new(StaticSecret::from(*bytes)))
    }

    pub(crate) fn public(&self) -> [u8; 32] {
        PublicKey::from(&*self.0).to_bytes()
    }

    /// The secret agreed on with a peer. RFC 7748, section 6.1: the all-zero output of
    /// low-order points is refused.
    pub(crate) fn agree(&self, peer: &[u8; 32]) -> Result<Zeroizing<[u8; 32]>> {
        let shared = self.0.diffie_hellman(&PublicKey::from(*peer));
        match shared.was_contributory() {
            true => Ok(Zeroizing::new(shared.to_bytes())),
            false => Err(Error::KeyShare),
        }
    }
}

/// An AEAD under one key, erased when dropped.
pub(crate) enum Cipher {
    /// ChaCha20-Poly1305 (RFC 8439).
    ChaCha(ChaCha20Poly1305),
    /// AES-256-GCM (NIST SP 800-38D). On the heap: its round keys are long.
    Aes(Box<Aes256Gcm>),
}

impl Cipher {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self::ChaCha(ChaCha20Poly1305::new(key.into()))
    }

    pub(crate) fn aes_256_gcm(key: &[u8; 32]) -> Self {
        Self::Aes(Box::new(Aes256Gcm::new(key.into())))
    }

    /// Seals what the buffer holds from `at` on, and appends the tag.
    pub(crate) fn seal(
        &self,
        nonce: &[u8; 12],
        associated: &[u8],
        buffer: &mut Vec<u8>,
        at: usize,
    ) -> Result<()> {
        let content = (&mut buffer[at..]).into();
        let tag = match self {
            Self::ChaCha(cipher) => {
                cipher.encrypt_inout_detached(nonce.into(), associated, content)
            }
            Self::Aes(cipher) => cipher.encrypt_inout_detached(nonce.into(), associated, content),
        };
        buffer.extend_from_slice(&tag.map_err(|_| Error::Seal)?);
        Ok(())
    }

    /// Opens what was sealed, into a place of the content's length. What lies there if that
    /// fails is not to be read.
    pub(crate) fn open(
        &self,
        nonce: &[u8; 12],
        associated: &[u8],
        sealed: &[u8],
        opened: &mut [u8],
    ) -> Result<()> {
        let (content, tag) = sealed.split_last_chunk::<TAG_LEN>().ok_or(Error::Seal)?;
        let content = InOutBuf::new(content, opened).map_err(|_| Error::Seal)?;
        let (nonce, tag) = (nonce.into(), Tag::from(*tag));
        match self {
            Self::ChaCha(cipher) => cipher.decrypt_inout_detached(nonce, associated, content, &tag),
            Self::Aes(cipher) => cipher.decrypt_inout_detached(nonce, associated, content, &tag),
        }
        .map_err(|_| Error::Seal)
    }
}

pub(super) struct Signer(SigningKey);

impl Signer {
    pub(super) fn new(key: &SigningKey) -> Self {
        Self(key.clone())
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

pub(super) fn verify(key: &VerifyingKey, message: &[u8], signature: &[u8; 64]) -> bool {
    key.verify_strict(message, &Signature::from_bytes(signature))
        .is_ok()
}
