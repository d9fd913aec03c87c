//! What an exchange is made of, each alone, of the backend that is built in.

use std::hint::black_box;

use armour_benches::Contestant;
use ed25519_dalek::SigningKey;
use hkdf::Hkdf;
use sha2::{Digest, Sha256};

use crate::parameters::CONTENT;

/// How often an exchange uses each primitive, at both ends together.
pub const PRIMITIVES: [(&str, u32); 8] = [
    ("X25519, key and public key", 2),
    ("X25519", 4),
    ("Ed25519 sign", 3),
    ("Ed25519 verify", 3),
    ("HKDF-SHA-256 extract", 4),
    ("HKDF-SHA-256 expand", 8),
    ("SHA-256 of 1 KiB", 4),
    (SEALED, 4),
];
const SEALED: &str = "ChaCha20-Poly1305, 1 KiB, one way";

/// All of them.
pub fn primitives() -> Vec<Contestant<'static>> {
    let mut all = backend::primitives();
    let content = vec![1u8; CONTENT];
    let expander = Hkdf::<Sha256>::new(Some(&[1; 32]), &[2; 64]);
    let seal = sealing(CONTENT);
    let others: Vec<Contestant<'static>> = vec![
        (
            "HKDF-SHA-256 extract",
            Box::new(|| {
                let _ = black_box(Hkdf::<Sha256>::extract(Some(&[1; 32]), &[2; 64]));
            }),
        ),
        (
            "HKDF-SHA-256 expand",
            Box::new(move || {
                let mut out = [0u8; 32];
                let _ = expander.expand(b"armour/1 key", &mut out);
                black_box(out);
            }),
        ),
        (
            "SHA-256 of 1 KiB",
            Box::new(move || {
                let _ = black_box(Sha256::digest(&content));
            }),
        ),
        (SEALED, Box::new(seal)),
    ];
    all.extend(others);
    all
}

/// The AEAD alone, over content of so many bytes in one buffer.
pub fn sealing(content: usize) -> impl FnMut() {
    backend::sealing(content)
}

/// The AEAD and the digest that is signed.
pub fn sealing_and_hashing(content: usize) -> impl FnMut() {
    let mut seal = backend::sealing(content);
    let hashed = vec![1u8; content];
    move || {
        let _ = black_box(Sha256::digest(&hashed));
        seal();
    }
}

fn signer() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

#[cfg(not(feature = "aws-lc"))]
mod backend {
    use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit};
    use ed25519_dalek::Signer;
    use x25519_dalek::{PublicKey, StaticSecret};

    use super::*;

    pub fn primitives() -> Vec<Contestant<'static>> {
        let (base, dh) = (StaticSecret::from([7; 32]), StaticSecret::from([7; 32]));
        let peer = PublicKey::from(&StaticSecret::from([8; 32]));
        let key = signer();
        let verifier = key.verifying_key();
        let message = [5u8; 110];
        let signature = key.sign(&message);
        vec![
            (
                "X25519, key and public key",
                Box::new(move || {
                    let _ = black_box(PublicKey::from(&base));
                }),
            ),
            (
                "X25519",
                Box::new(move || {
                    let _ = black_box(dh.diffie_hellman(&peer));
                }),
            ),
            (
                "Ed25519 sign",
                Box::new(move || {
                    let _ = black_box(key.sign(&message));
                }),
            ),
            (
                "Ed25519 verify",
                Box::new(move || {
                    let _ = black_box(verifier.verify_strict(&message, &signature));
                }),
            ),
        ]
    }

    pub fn sealing(content: usize) -> impl FnMut() {
        let cipher = ChaCha20Poly1305::new(&[3; 32].into());
        let mut buffer = vec![1u8; content];
        move || {
            let nonce = Default::default();
            let tag = cipher.encrypt_inout_detached(&nonce, &[0; 94], buffer.as_mut_slice().into());
            let _ = black_box(tag);
        }
    }
}

#[cfg(feature = "aws-lc")]
mod backend {
    use aws_lc_rs::{
        aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey},
        agreement::{self, PrivateKey, X25519},
        signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey},
    };

    use super::*;

    pub fn primitives() -> Vec<Contestant<'static>> {
        let private = || PrivateKey::from_private_key(&X25519, &[7; 32]).ok();
        let dh = private();
        let peer = x25519_dalek::PublicKey::from(&x25519_dalek::StaticSecret::from([8; 32]));
        let pair = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).ok();
        let verifier = signer().verifying_key().to_bytes();
        let message = [5u8; 110];
        let signature = ed25519_dalek::Signer::sign(&signer(), &message).to_bytes();
        vec![
            (
                "X25519, key and public key",
                Box::new(move || {
                    let _ = black_box(private().map(|key| key.compute_public_key()));
                }),
            ),
            (
                "X25519",
                Box::new(move || {
                    let peer = agreement::UnparsedPublicKey::new(&X25519, peer.as_bytes());
                    let agreed = dh.as_ref().map(|dh| {
                        agreement::agree(dh, peer, (), |secret| {
                            black_box(secret);
                            Ok(())
                        })
                    });
                    let _ = black_box(agreed);
                }),
            ),
            (
                "Ed25519 sign",
                Box::new(move || {
                    let _ = black_box(pair.as_ref().map(|pair| pair.sign(&message)));
                }),
            ),
            (
                "Ed25519 verify",
                Box::new(move || {
                    let key = UnparsedPublicKey::new(&ED25519, verifier);
                    let _ = black_box(key.verify(&message, &signature));
                }),
            ),
        ]
    }

    pub fn sealing(content: usize) -> impl FnMut() {
        let key = UnboundKey::new(&CHACHA20_POLY1305, &[3; 32]).map(LessSafeKey::new);
        let mut buffer = vec![1u8; content];
        move || {
            let nonce = Nonce::assume_unique_for_key([0; 12]);
            let sealed = key.as_ref().map(|key| {
                key.seal_in_place_separate_tag(nonce, Aad::from([0u8; 94]), &mut buffer)
            });
            let _ = black_box(sealed);
        }
    }
}
