//! A minted secret on its way to an endpoint: HPKE (RFC 9180) base mode with
//! DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and ChaCha20-Poly1305.

use hpke::{
    Deserializable, Kem as _, OpModeR, OpModeS, Serializable, aead::ChaCha20Poly1305,
    kdf::HkdfSha256, kem::X25519HkdfSha256, single_shot_open, single_shot_seal_with_rng,
};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::{Error, Result};

/// Bytes of a sealed secret: encapsulated key, ciphertext, tag.
pub const ENVELOPE_LEN: usize = ENCAPPED + 32 + 16;
const ENCAPPED: usize = 32;

type Kem = X25519HkdfSha256;

/// An endpoint's KEM key: private half (erased on drop) and public half, 32
/// bytes each.
pub fn generate<R: CryptoRng>(rng: &mut R) -> (Zeroizing<[u8; 32]>, [u8; 32]) {
    let (private, public) = Kem::gen_keypair_with_rng(rng);
    (
        Zeroizing::new(private.to_bytes().into()),
        public.to_bytes().into(),
    )
}

pub(crate) fn seal_bytes<R: CryptoRng>(
    kem_key: &[u8],
    info: &[u8],
    associated: &[u8],
    secret: &[u8; 32],
    rng: &mut R,
) -> Result<Vec<u8>> {
    let key = <Kem as hpke::Kem>::PublicKey::from_bytes(kem_key).map_err(|_| Error::KeyShare)?;
    let (encapped, sealed) = single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, Kem>(
        &OpModeS::Base,
        &key,
        info,
        secret,
        associated,
        rng,
    )
    .map_err(|_| Error::KeyShare)?;
    Ok([encapped.to_bytes().as_slice(), &sealed].concat())
}

pub(crate) fn open_bytes(
    kem_secret: &[u8; 32],
    info: &[u8],
    associated: &[u8],
    envelope: &[u8],
) -> Result<Zeroizing<[u8; 32]>> {
    if envelope.len() != ENVELOPE_LEN {
        return Err(Error::Malformed);
    }
    let (encapped, sealed) = envelope.split_at(ENCAPPED);
    let key =
        <Kem as hpke::Kem>::PrivateKey::from_bytes(kem_secret).map_err(|_| Error::Malformed)?;
    let encapped =
        <Kem as hpke::Kem>::EncappedKey::from_bytes(encapped).map_err(|_| Error::Malformed)?;
    let opened = Zeroizing::new(
        single_shot_open::<ChaCha20Poly1305, HkdfSha256, Kem>(
            &OpModeR::Base,
            &key,
            &encapped,
            info,
            sealed,
            associated,
        )
        .map_err(|_| Error::Seal)?,
    );
    let bytes: [u8; 32] = opened.as_slice().try_into().map_err(|_| Error::Malformed)?;
    Ok(Zeroizing::new(bytes))
}
