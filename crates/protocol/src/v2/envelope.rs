//! A minted secret on its way to an endpoint: HPKE (RFC 9180) under this
//! version's `info` and context.

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::envelope::{open_bytes, seal_bytes};

use super::{context::Context, error::HeadError, schedule::BundleSecret};

const INFO: &[u8] = b"armour/2 envelope";

/// Seals a bundle's secret to an endpoint's HPKE key.
///
/// # Errors
/// [`HeadError::KeyShare`] if the key is not one.
pub fn seal<R: CryptoRng>(
    key: &[u8],
    context: &Context,
    secret: &BundleSecret,
    rng: &mut R,
) -> Result<Vec<u8>, HeadError> {
    let aad = context.to_bytes();
    seal_bytes(key, INFO, &aad, secret.as_bytes(), rng).map_err(|_| HeadError::KeyShare)
}

/// Opens what [`seal`] made.
///
/// # Errors
/// [`HeadError::Malformed`], also for another key or context.
pub fn open(key: &[u8; 32], context: &Context, envelope: &[u8]) -> Result<BundleSecret, HeadError> {
    let opened = open_bytes(key, INFO, &context.to_bytes(), envelope);
    let opened = opened.map_err(|_| HeadError::Malformed)?;
    Ok(BundleSecret::from_bytes(*opened))
}

/// An HPKE key: private half, erased on drop, and public half, 32 bytes each.
pub fn generate<R: CryptoRng>(rng: &mut R) -> (Zeroizing<[u8; 32]>, [u8; 32]) {
    crate::envelope::generate(rng)
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;
    use crate::v2::{suite::Suite, testing::context};

    #[test]
    fn an_envelope_opens_for_its_key_and_context() {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let (private, public) = crate::envelope::generate(&mut rng);
        let bound = context(Suite::X25519ChaCha20Poly1305);
        let secret = BundleSecret::from_bytes([7; 32]);
        let sealed = seal(&public, &bound, &secret, &mut rng).unwrap();
        let opened = open(&private, &bound, &sealed).unwrap();
        assert_eq!(opened.as_bytes(), &[7; 32]);
        let other = context(Suite::X25519Aes256Gcm);
        assert_eq!(
            open(&private, &other, &sealed).err(),
            Some(HeadError::Malformed)
        );
        assert!(open(&private, &bound, &sealed[1..]).is_err());
    }
}
