//! What an exchange is made of, each alone, of the backend that is built in.

use std::hint::black_box;

use armour_protocol_benches::Contestant;
use ed25519_dalek::SigningKey;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::parameters::CONTENT;

/// How often an exchange uses each primitive, at both ends together.
pub const PRIMITIVES: [(&str, u32); 9] = [
    ("X25519, key and public key", 2),
    ("X25519", 4),
    ("Ed25519 sign", 2),
    ("Ed25519 verify", 2),
    ("HKDF-SHA-256 extract", 4),
    ("HKDF-SHA-256 expand", 12),
    ("HMAC-SHA-256 of a head", 4),
    ("SHA-256 of 1 KiB", 4),
    (SEALED, 4),
];
const SEALED: &str = "ChaCha20-Poly1305, 1 KiB, one way";

/// All of them.
pub fn primitives() -> Vec<Contestant<'static>> {
    let mut all = backend::primitives();
    let content = vec![1u8; CONTENT];
    let expander = Hkdf::<Sha256>::new(Some(&[1; 32]), &[2; 64]);
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
                let _ = expander.expand(b"armour/2 key", &mut out);
                black_box(out);
            }),
        ),
        (
            "HMAC-SHA-256 of a head",
            Box::new(|| {
                let mac =
                    Hmac::<Sha256>::new_from_slice(&[1; 32]).map(|mac| mac.chain_update([1; 236]));
                let _ = black_box(mac.map(Mac::finalize));
            }),
        ),
        (
            "SHA-256 of 1 KiB",
            Box::new(move || {
                let _ = black_box(Sha256::digest(&content));
            }),
        ),
        (SEALED, Box::new(backend::chacha(CONTENT))),
    ];
    all.extend(others);
    all
}

/// AES-256-GCM alone: seals and opens content of so many bytes in one buffer.
pub fn sealing(content: usize) -> impl FnMut() {
    backend::aes(content)
}

/// The same, and at both ends the digest that is signed.
pub fn sealing_and_hashing(content: usize) -> impl FnMut() {
    let mut seal = backend::aes(content);
    let hashed = vec![1u8; content];
    move || {
        for _ in 0..2 {
            let _ = black_box(blake3::hash(&hashed));
        }
        seal();
    }
}

fn signer() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

#[cfg(not(feature = "aws-lc"))]
mod backend {
    use aes_gcm::Aes256Gcm;
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

    pub fn aes(content: usize) -> impl FnMut() {
        let cipher = Aes256Gcm::new(&[3; 32].into());
        let mut buffer = vec![1u8; content];
        move || {
            let (nonce, ad) = (Default::default(), &[0; 36]);
            let tag = cipher.encrypt_inout_detached(&nonce, ad, buffer.as_mut_slice().into());
            let opened = tag.and_then(|tag| {
                cipher.decrypt_inout_detached(&nonce, ad, buffer.as_mut_slice().into(), &tag)
            });
            let _ = black_box(opened);
        }
    }

    pub fn chacha(content: usize) -> impl FnMut() {
        let cipher = ChaCha20Poly1305::new(&[3; 32].into());
        let mut buffer = vec![1u8; content];
        move || {
            let nonce = Default::default();
            let tag = cipher.encrypt_inout_detached(&nonce, &[0; 36], buffer.as_mut_slice().into());
            let _ = black_box(tag);
        }
    }
}

#[cfg(feature = "aws-lc")]
mod backend {
    use aws_lc_rs::{
        aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey},
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

    pub fn aes(content: usize) -> impl FnMut() {
        let key = UnboundKey::new(&AES_256_GCM, &[3; 32]).map(LessSafeKey::new);
        let mut buffer = vec![1u8; content];
        move || {
            let nonce = || Nonce::assume_unique_for_key([0; 12]);
            let opened = key.as_ref().map(|key| {
                let ad = || Aad::from([0u8; 36]);
                let tag = key.seal_in_place_separate_tag(nonce(), ad(), &mut buffer)?;
                buffer.extend_from_slice(tag.as_ref());
                let opened = key.open_in_place(nonce(), ad(), &mut buffer).map(|_| ());
                buffer.truncate(content);
                opened
            });
            let _ = black_box(opened);
        }
    }

    pub fn chacha(content: usize) -> impl FnMut() {
        let key = UnboundKey::new(&CHACHA20_POLY1305, &[3; 32]).map(LessSafeKey::new);
        let mut buffer = vec![1u8; content];
        move || {
            let nonce = Nonce::assume_unique_for_key([0; 12]);
            let sealed = key.as_ref().map(|key| {
                key.seal_in_place_separate_tag(nonce, Aad::from([0u8; 36]), &mut buffer)
            });
            let _ = black_box(sealed);
        }
    }
}
