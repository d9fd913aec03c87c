//! AWS-LC's primitives. Its keys erase themselves when they are freed.

use std::sync::LazyLock;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey},
    agreement::{self, PrivateKey, X25519},
    signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey},
};
use curve25519_dalek::constants::EIGHT_TORSION;
use ed25519_dalek::{SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use super::TAG_LEN;
use crate::{Error, Result};

pub(super) const NAME: &str = "AWS-LC";

/// An X25519 private key.
pub(crate) struct X25519Secret(PrivateKey);

impl X25519Secret {
    /// A key from 32 random bytes.
    #[expect(clippy::expect_used, reason = "any 32 bytes are a key")]
    pub(crate) fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(PrivateKey::from_private_key(&X25519, bytes).expect("32 bytes"))
    }

    #[expect(
        clippy::expect_used,
        reason = "every private key has a public one of 32 bytes"
    )]
    pub(crate) fn public(&self) -> [u8; 32] {
        let public = self.0.compute_public_key().expect("a public key");
        public.as_ref().try_into().expect("32 bytes")
    }

    /// The secret agreed on with a peer. RFC 7748, section 6.1: the all-zero output of
    /// low-order points is refused.
    pub(crate) fn agree(&self, peer: &[u8; 32]) -> Result<Zeroizing<[u8; 32]>> {
        let peer = agreement::UnparsedPublicKey::new(&X25519, peer);
        agreement::agree(&self.0, peer, Error::KeyShare, |secret| {
            let secret: [u8; 32] = secret.try_into().map_err(|_| Error::KeyShare)?;
            Ok(Zeroizing::new(secret))
        })
    }
}

/// An AEAD under one key.
pub(crate) struct Cipher(LessSafeKey);

impl Cipher {
    /// ChaCha20-Poly1305 (RFC 8439).
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self::of(&CHACHA20_POLY1305, key)
    }

    /// AES-256-GCM (NIST SP 800-38D).
    pub(crate) fn aes_256_gcm(key: &[u8; 32]) -> Self {
        Self::of(&AES_256_GCM, key)
    }

    #[expect(clippy::expect_used, reason = "any 32 bytes are a key")]
    fn of(algorithm: &'static Algorithm, key: &[u8; 32]) -> Self {
        let key = UnboundKey::new(algorithm, key);
        Self(LessSafeKey::new(key.expect("32 bytes")))
    }

    /// Seals what the buffer holds from `at` on, and appends the tag.
    pub(crate) fn seal(
        &self,
        nonce: &[u8; 12],
        associated: &[u8],
        buffer: &mut Vec<u8>,
        at: usize,
    ) -> Result<()> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce, Aad::from(associated), &mut buffer[at..])
            .map_err(|_| Error::Seal)?;
        buffer.extend_from_slice(tag.as_ref());
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
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let (content, tag) = sealed.split_last_chunk::<TAG_LEN>().ok_or(Error::Seal)?;
        if content.len() != opened.len() {
            return Err(Error::Seal);
        }
        self.0
            .open_separate_gather(nonce, Aad::from(associated), content, tag, opened)
            .map_err(|_| Error::Seal)
    }
}

pub(super) struct Signer(Ed25519KeyPair);

impl Signer {
    #[expect(clippy::expect_used, reason = "any 32 bytes are a seed")]
    pub(super) fn new(key: &SigningKey) -> Self {
        let seed = Zeroizing::new(key.to_bytes());
        Self(Ed25519KeyPair::from_seed_unchecked(&*seed).expect("32 bytes"))
    }

    #[expect(clippy::expect_used, reason = "an Ed25519 signature has 64 bytes")]
    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).as_ref().try_into().expect("64 bytes")
    }
}

/// The encodings of the points of small order; AWS-LC takes them, dalek's strict
/// check does not.
static SMALL_ORDER: LazyLock<[[u8; 32]; 8]> =
    LazyLock::new(|| EIGHT_TORSION.map(|point| point.compress().to_bytes()));

pub(super) fn verify(key: &VerifyingKey, message: &[u8], signature: &[u8; 64]) -> bool {
    let small = SMALL_ORDER.iter().any(|point| signature[..32] == point[..]);
    !small
        && !key.is_weak()
        && UnparsedPublicKey::new(&ED25519, key.as_bytes())
            .verify(message, signature)
            .is_ok()
}
