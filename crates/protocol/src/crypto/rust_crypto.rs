//! RustCrypto's and dalek's primitives.

use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit, Tag};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::{Error, Result};

pub(super) const NAME: &str = "RustCrypto and dalek";

const TAG_LEN: usize = 16;

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

/// ChaCha20-Poly1305 (RFC 8439) under one key, erased when dropped.
pub(crate) struct Cipher(ChaCha20Poly1305);

impl Cipher {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(ChaCha20Poly1305::new(key.into()))
    }

    /// Seals what the buffer holds from `at` on, and appends the tag.
    pub(crate) fn seal(
        &self,
        nonce: &[u8; 12],
        associated: &[u8],
        buffer: &mut Vec<u8>,
        at: usize,
    ) -> Result<()> {
        let tag = self
            .0
            .encrypt_inout_detached(nonce.into(), associated, (&mut buffer[at..]).into())
            .map_err(|_| Error::Seal)?;
        buffer.extend_from_slice(&tag);
        Ok(())
    }

    /// Opens what the buffer holds and cuts the tag off.
    pub(crate) fn open(
        &self,
        nonce: &[u8; 12],
        associated: &[u8],
        buffer: &mut Vec<u8>,
    ) -> Result<()> {
        let at = buffer.len().checked_sub(TAG_LEN).ok_or(Error::Seal)?;
        let (content, tag) = buffer.split_at_mut(at);
        let tag = Tag::try_from(&*tag).map_err(|_| Error::Seal)?;
        self.0
            .decrypt_inout_detached(nonce.into(), associated, content.into(), &tag)
            .map_err(|_| Error::Seal)?;
        buffer.truncate(at);
        Ok(())
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
