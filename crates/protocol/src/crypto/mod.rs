//! The primitives that an exchange spends its time in, behind one seam: by default
//! RustCrypto's and dalek's, with the feature `aws-lc` AWS-LC's (`aws-lc-rs`), whose
//! X25519, Ed25519 and AEADs are faster. Both take and refuse the same.

#[cfg(feature = "aws-lc")]
mod aws_lc;
#[cfg(any(test, not(feature = "aws-lc")))]
#[cfg_attr(
    feature = "aws-lc",
    expect(dead_code, reason = "tests compare with some of it")
)]
mod rust_crypto;

#[cfg(feature = "aws-lc")]
use aws_lc as backend;
#[cfg(not(feature = "aws-lc"))]
use rust_crypto as backend;

pub(crate) use backend::{Cipher, X25519Secret};

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};

/// Bytes of either AEAD's tag.
pub(crate) const TAG_LEN: usize = 16;

/// Whose primitives these are.
pub const BACKEND: &str = backend::NAME;

/// What signs for an endpoint.
pub trait Sign {
    /// An Ed25519 signature (RFC 8032) of 64 bytes.
    fn signature(&self, message: &[u8]) -> [u8; 64];
}

impl Sign for SigningKey {
    fn signature(&self, message: &[u8]) -> [u8; 64] {
        self.sign(message).to_bytes()
    }
}

/// A signing key as the backend holds it, to sign many times. Erased when dropped.
pub struct Signer(backend::Signer);

impl Signer {
    /// A signer with this key.
    pub fn new(key: &SigningKey) -> Self {
        Self(backend::Signer::new(key))
    }
}

impl Sign for Signer {
    fn signature(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message)
    }
}

/// Checks an Ed25519 signature strictly: canonical encodings, no key and no
/// commitment of small order, so that a signature is good for one message and key.
pub(crate) fn verify(key: &VerifyingKey, message: &[u8], signature: &[u8; 64]) -> bool {
    backend::verify(key, message, signature)
}

#[cfg(test)]
mod wycheproof;

#[cfg(all(test, feature = "aws-lc"))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn both_backends_agree_on_secrets(ours: [u8; 32], theirs: [u8; 32]) {
            let (a, b) = (aws_lc::X25519Secret::from_bytes(&ours), rust_crypto::X25519Secret::from_bytes(&ours));
            prop_assert_eq!(a.public(), b.public());
            // Any 32 bytes are a point, if on the twist.
            let (a, b) = (a.agree(&theirs), b.agree(&theirs));
            prop_assert_eq!(a.map(|s| *s).ok(), b.map(|s| *s).ok());
        }

        #[test]
        fn both_backends_seal_and_sign_alike(key: [u8; 32], nonce: [u8; 12], aad: [u8; 9], text: Vec<u8>) {
            let ciphers = [
                (aws_lc::Cipher::new(&key), rust_crypto::Cipher::new(&key)),
                (aws_lc::Cipher::aes_256_gcm(&key), rust_crypto::Cipher::aes_256_gcm(&key)),
            ];
            for (a, b) in ciphers {
                let mut sealed = text.clone();
                a.seal(&nonce, &aad, &mut sealed, 0).unwrap();
                let mut other = text.clone();
                b.seal(&nonce, &aad, &mut other, 0).unwrap();
                prop_assert_eq!(&sealed, &other);
                let mut opened = vec![0; text.len()];
                b.open(&nonce, &aad, &sealed, &mut opened).unwrap();
                prop_assert_eq!(&opened, &text);
                opened.fill(0);
                a.open(&nonce, &aad, &sealed, &mut opened).unwrap();
                prop_assert_eq!(&opened, &text);
                other[0] ^= 1;
                prop_assert!(a.open(&nonce, &aad, &other, &mut opened).is_err());
                let mut longer = vec![0; text.len() + 1];
                prop_assert!(a.open(&nonce, &aad, &sealed, &mut longer).is_err());
                prop_assert!(b.open(&nonce, &aad, &sealed, &mut longer).is_err());
            }
            let key = SigningKey::from_bytes(&key);
            let signature = Signer::new(&key).signature(&text);
            prop_assert_eq!(signature, key.signature(&text));
            for verify in [aws_lc::verify, rust_crypto::verify] {
                prop_assert!(verify(&key.verifying_key(), &text, &signature));
                let mut wrong = signature;
                wrong[40] ^= 1;
                prop_assert!(!verify(&key.verifying_key(), &text, &wrong));
            }
        }
    }

    #[test]
    fn neither_backend_takes_points_of_small_order() {
        use curve25519_dalek::constants::EIGHT_TORSION;
        for point in EIGHT_TORSION {
            let bytes = point.compress().to_bytes();
            let weak = VerifyingKey::from_bytes(&bytes).unwrap();
            // Under a key of small order such a signature is good for many messages.
            let mut signature = [0u8; 64];
            signature[..32].copy_from_slice(&bytes);
            for verify in [aws_lc::verify, rust_crypto::verify] {
                assert!((0..16u8).all(|n| !verify(&weak, &[n], &signature)));
            }
            let low = point.to_montgomery().to_bytes();
            assert!(
                aws_lc::X25519Secret::from_bytes(&[7; 32])
                    .agree(&low)
                    .is_err()
            );
            assert!(
                rust_crypto::X25519Secret::from_bytes(&[7; 32])
                    .agree(&low)
                    .is_err()
            );
        }
    }
}
