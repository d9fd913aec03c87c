//! Project Wycheproof's vectors: known weaknesses of implementations, tried on each
//! primitive of each backend that is built in.

use ed25519_dalek::VerifyingKey;
use hkdf::Hkdf;
use ml_kem::{
    DecapsulationKey, EncapsulationKey, MlKem768,
    kem::{Decapsulate, FromSeed, KeyExport, TryKeyInit},
};
use sha2::Sha256;
use wycheproof::{TestResult, aead, eddsa, hkdf as kdf, mlkem, xdh};

use super::rust_crypto;

macro_rules! each_backend {
    ($name:ident, $check:ident) => {
        mod $name {
            #[test]
            fn rust_crypto() {
                super::$check!(super::rust_crypto);
            }

            #[cfg(feature = "aws-lc")]
            #[test]
            fn aws_lc() {
                super::$check!(crate::crypto::aws_lc);
            }
        }
    };
}

macro_rules! check_aead {
    ($backend:path, $name:ident, $new:ident, $least:literal) => {{
        use $backend as backend;
        let set = super::aead::TestSet::load(super::aead::TestName::$name).unwrap();
        let mut tried = 0;
        for group in set.test_groups {
            // Other lengths cannot be handed to ours.
            if group.key_size != 256 || group.nonce_size != 96 || group.tag_size != 128 {
                continue;
            }
            for test in group.tests {
                let key: [u8; 32] = test.key[..].try_into().unwrap();
                let nonce: [u8; 12] = test.nonce[..].try_into().unwrap();
                let cipher = backend::Cipher::$new(&key);
                let sealed = [&test.ct[..], &test.tag[..]].concat();
                let mut opened = vec![0; test.ct.len()];
                let result = cipher.open(&nonce, &test.aad, &sealed, &mut opened);
                assert_eq!(result.is_ok(), !test.result.must_fail(), "{}", test.tc_id);
                if result.is_ok() {
                    assert_eq!(opened, test.pt[..]);
                    let mut sealed = test.pt.to_vec();
                    cipher.seal(&nonce, &test.aad, &mut sealed, 0).unwrap();
                    assert_eq!(sealed, [&test.ct[..], &test.tag[..]].concat());
                }
                tried += 1;
            }
        }
        assert!(tried > $least, "{tried}");
    }};
}
use check_aead;

macro_rules! check_chacha {
    ($backend:path) => {
        super::check_aead!($backend, ChaCha20Poly1305, new, 250)
    };
}
use check_chacha;
each_backend!(chacha20_poly1305, check_chacha);

macro_rules! check_aes {
    ($backend:path) => {
        super::check_aead!($backend, AesGcm, aes_256_gcm, 60)
    };
}
use check_aes;
each_backend!(aes_256_gcm, check_aes);

macro_rules! check_xdh {
    ($backend:path) => {{
        use $backend as backend;
        let set = super::xdh::TestSet::load(super::xdh::TestName::X25519).unwrap();
        let mut tried = 0;
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            let Ok(public) = <[u8; 32]>::try_from(&test.public_key[..]) else {
                continue;
            };
            let secret: [u8; 32] = test.private_key[..].try_into().unwrap();
            let agreed = backend::X25519Secret::from_bytes(&secret).agree(&public);
            let zero = test.shared_secret.iter().all(|byte| *byte == 0);
            match agreed {
                Ok(agreed) => assert_eq!(&agreed[..], &test.shared_secret[..]),
                // RFC 7748, section 6.1: what everybody knows is no secret.
                Err(_) => assert!(zero, "{}", test.tc_id),
            }
            tried += 1;
        }
        assert!(tried > 500, "{tried}");
    }};
}
use check_xdh;
each_backend!(x25519, check_xdh);

macro_rules! check_eddsa {
    ($backend:path) => {{
        use $backend as backend;
        let set = super::eddsa::TestSet::load(super::eddsa::TestName::Ed25519).unwrap();
        let mut tried = 0;
        for group in &set.test_groups {
            let key: [u8; 32] = group.key.pk[..].try_into().unwrap();
            let key = super::VerifyingKey::from_bytes(&key).unwrap();
            for test in &group.tests {
                // Of another length it is refused before it comes here.
                let Ok(signature) = <[u8; 64]>::try_from(&test.sig[..]) else {
                    assert!(test.result.must_fail());
                    continue;
                };
                let good = backend::verify(&key, &test.msg, &signature);
                assert_eq!(
                    good,
                    test.result == super::TestResult::Valid,
                    "{}",
                    test.tc_id
                );
                tried += 1;
            }
        }
        assert!(tried > 80, "{tried}");
    }};
}
use check_eddsa;
each_backend!(ed25519, check_eddsa);

#[test]
fn hkdf_sha256() {
    let set = kdf::TestSet::load(kdf::TestName::HkdfSha256).unwrap();
    let mut tried = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let mut okm = vec![0; test.size];
        let made = Hkdf::<Sha256>::new(Some(&test.salt), &test.ikm).expand(&test.info, &mut okm);
        assert_eq!(made.is_ok(), !test.result.must_fail(), "{}", test.tc_id);
        if made.is_ok() {
            assert_eq!(okm, test.okm[..], "{}", test.tc_id);
        }
        tried += 1;
    }
    assert!(tried > 80, "{tried}");
}

#[test]
fn ml_kem_768() {
    let set = mlkem::TestSet::load(mlkem::TestName::MlKem768).unwrap();
    let mut tried = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let seed = test
            .seed
            .as_ref()
            .map(|seed| <[u8; 64]>::try_from(&seed[..]));
        let (Some(Ok(seed)), Some(ciphertext)) = (seed, &test.ct) else {
            continue;
        };
        let key = DecapsulationKey::<MlKem768>::from_seed(seed.into());
        if let Some(public) = &test.encaps_key {
            let (_, own) = MlKem768::from_seed(&seed.into());
            assert_eq!(&own.to_bytes()[..], &public[..], "{}", test.tc_id);
        }
        match key.decapsulate_slice(ciphertext) {
            Ok(secret) => assert_eq!(&secret[..], &test.shared_secret.as_ref().unwrap()[..]),
            Err(_) => assert!(test.result.must_fail(), "{}", test.tc_id),
        }
        tried += 1;
    }
    assert!(tried > 20, "{tried}");
    // FIPS 203, section 7.2: an encapsulation key whose coefficients are not reduced.
    let set = mlkem::TestSet::load(mlkem::TestName::MlKem768Encaps).unwrap();
    let mut refused = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let Some(bytes) = &test.encaps_key else {
            continue;
        };
        let key = EncapsulationKey::<MlKem768>::new_from_slice(bytes);
        if test.result.must_fail() {
            assert!(key.is_err(), "{}", test.tc_id);
            refused += 1;
        } else {
            assert!(key.is_ok(), "{}", test.tc_id);
        }
    }
    assert!(refused > 0);
}
