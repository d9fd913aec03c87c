//! Fresh key shares and the secret two of them agree on.
//!
//! X25519's share is an X25519 public key (32 bytes). Suite 2's is an X25519
//! public key, an ML-KEM-768 encapsulation key (1184 bytes) and, where it
//! answers a share of the peer's, a ciphertext (1088 bytes) to that share's
//! encapsulation key. A share that nothing answers, a sub-receipt's, has no encapsulation
//! key. The secret is 32 or 64 bytes: X25519, then ML-KEM.

use ml_kem::{
    DecapsulationKey, EncapsulationKey, MlKem768,
    kem::{Decapsulate, Encapsulate, FromSeed, KeyExport, TryKeyInit},
};
use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

use crate::{Error, Result, crypto::X25519Secret};

const X25519: usize = 32;
const ENCAPSULATION_KEY: usize = 1184;
const SEED: usize = 64;

/// How two ends agree on a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Agreement {
    /// X25519 (RFC 7748).
    X25519,
    /// X25519 together with ML-KEM-768 (FIPS 203).
    X25519MlKem768,
}

impl Agreement {
    /// Bytes of a key share that answers no earlier one (a lane's first).
    pub fn opening_share_len(self) -> usize {
        match self {
            Self::X25519 => 32,
            Self::X25519MlKem768 => 32 + 1184,
        }
    }

    /// Bytes of a key share that answers the peer's latest one.
    pub fn share_len(self) -> usize {
        match self {
            Self::X25519 => 32,
            Self::X25519MlKem768 => 32 + 1184 + 1088,
        }
    }

    /// Bytes of a key share that answers the peer's and is not answered.
    pub fn last_share_len(self) -> usize {
        match self {
            Self::X25519 => 32,
            Self::X25519MlKem768 => 32 + 1088,
        }
    }
}

/// An agreed secret; empty for a lane's first message.
pub type SharedSecret = Zeroizing<Vec<u8>>;

/// The private half of a share, erased when it is dropped.
pub struct ShareSecret {
    x25519: X25519Secret,
    /// The ML-KEM key's seed (FIPS 203, `d || z`), suite 2 only.
    ml_kem: Option<Zeroizing<Vec<u8>>>,
    /// What the X25519 key was made from.
    #[cfg(feature = "state-export")]
    drawn: Zeroizing<[u8; X25519]>,
}

/// The public part that the peer answers: what remains of its latest share.
#[derive(Clone)]
pub struct PeerShare {
    x25519: [u8; X25519],
    encapsulation_key: Vec<u8>,
}

/// Makes a share that opens a lane: it answers nothing, so it agrees on nothing.
pub fn open<R: CryptoRng + ?Sized>(suite: Agreement, rng: &mut R) -> (ShareSecret, Vec<u8>) {
    ShareSecret::generate(suite, rng)
}

/// Makes a fresh share that answers `peer`, and the secret they agree on.
///
/// # Errors
/// [`Error::KeyShare`] if the peer's share is a low-order point or not a key.
pub fn answer<R: CryptoRng + ?Sized>(
    suite: Agreement,
    peer: &PeerShare,
    rng: &mut R,
) -> Result<(ShareSecret, Vec<u8>, SharedSecret)> {
    let (secret, mut share) = ShareSecret::generate(suite, rng);
    let mut agreed = secret.diffie_hellman(&peer.x25519)?;
    if suite == Agreement::X25519MlKem768 {
        encapsulate(peer, &mut share, &mut agreed, rng)?;
    }
    Ok((secret, share, agreed))
}

/// Encapsulates to the peer's key: the ciphertext follows the share, the secret what is agreed.
fn encapsulate<R: CryptoRng + ?Sized>(
    peer: &PeerShare,
    share: &mut Vec<u8>,
    agreed: &mut SharedSecret,
    rng: &mut R,
) -> Result<()> {
    let key = encapsulation_key(&peer.encapsulation_key)?;
    let (ciphertext, mut kem_secret) = key.encapsulate_with_rng(rng);
    share.extend_from_slice(&ciphertext);
    agreed.extend_from_slice(&kem_secret);
    kem_secret.zeroize();
    Ok(())
}

/// Makes a fresh share that answers `peer` and that nothing answers, and the secret they
/// agree on. Its private half is erased.
///
/// # Errors
/// [`Error::KeyShare`] if the peer's share is a low-order point or not a key.
pub fn answer_last<R: CryptoRng + ?Sized>(
    suite: Agreement,
    peer: &PeerShare,
    rng: &mut R,
) -> Result<(Vec<u8>, SharedSecret)> {
    let (secret, mut share) = ShareSecret::generate(Agreement::X25519, rng);
    let mut agreed = secret.diffie_hellman(&peer.x25519)?;
    if suite == Agreement::X25519MlKem768 {
        encapsulate(peer, &mut share, &mut agreed, rng)?;
    }
    Ok((share, agreed))
}

/// The secret of a share that answers ours and that nothing answers.
///
/// # Errors
/// [`Error::KeyShare`] for a wrong length or a low-order point.
pub fn receive_last(suite: Agreement, ours: &ShareSecret, share: &[u8]) -> Result<SharedSecret> {
    if share.len() != suite.last_share_len() {
        return Err(Error::KeyShare);
    }
    let (x25519, ciphertext) = share.split_first_chunk().ok_or(Error::KeyShare)?;
    ours.agreed(x25519, ciphertext)
}

/// Receives a share that answers ours (`Some`) or opens a lane (`None`).
///
/// # Errors
/// [`Error::KeyShare`] for a wrong length, a low-order point or a bad key.
pub fn receive(
    suite: Agreement,
    ours: Option<&ShareSecret>,
    share: &[u8],
) -> Result<(PeerShare, SharedSecret)> {
    let expected = match ours {
        Some(_) => suite.share_len(),
        None => suite.opening_share_len(),
    };
    if share.len() != expected {
        return Err(Error::KeyShare);
    }
    let (x25519, rest) = share.split_at(X25519);
    let x25519: [u8; X25519] = x25519.try_into().map_err(|_| Error::KeyShare)?;
    let (key, ciphertext) = match suite {
        Agreement::X25519 => (&[][..], &[][..]),
        Agreement::X25519MlKem768 => rest.split_at(ENCAPSULATION_KEY),
    };
    if suite == Agreement::X25519MlKem768 {
        encapsulation_key(key)?;
    }
    let mut agreed = SharedSecret::default();
    if let Some(ours) = ours {
        agreed = ours.agreed(&x25519, ciphertext)?;
    }
    Ok((
        PeerShare {
            x25519,
            encapsulation_key: key.to_vec(),
        },
        agreed,
    ))
}

impl ShareSecret {
    fn generate<R: CryptoRng + ?Sized>(suite: Agreement, rng: &mut R) -> (Self, Vec<u8>) {
        let mut bytes = Zeroizing::new([0u8; X25519]);
        rng.fill_bytes(&mut *bytes);
        let x25519 = X25519Secret::from_bytes(&bytes);
        let mut share = Vec::with_capacity(suite.share_len());
        share.extend_from_slice(&x25519.public());
        let ml_kem = (suite == Agreement::X25519MlKem768).then(|| {
            let mut drawn = Zeroizing::new([0u8; SEED]);
            rng.fill_bytes(&mut *drawn);
            let (_, key) = MlKem768::from_seed(&(*drawn).into());
            share.extend_from_slice(&key.to_bytes());
            Zeroizing::new(drawn.to_vec())
        });
        let secret = Self {
            x25519,
            ml_kem,
            #[cfg(feature = "state-export")]
            drawn: bytes,
        };
        (secret, share)
    }

    fn agreed(&self, peer: &[u8; X25519], ciphertext: &[u8]) -> Result<SharedSecret> {
        let mut agreed = self.diffie_hellman(peer)?;
        if let Some(seed) = &self.ml_kem {
            let key = decapsulation_key(seed)?;
            let mut kem_secret = key
                .decapsulate_slice(ciphertext)
                .map_err(|_| Error::KeyShare)?;
            agreed.extend_from_slice(&kem_secret);
            kem_secret.zeroize();
        }
        Ok(agreed)
    }

    fn diffie_hellman(&self, peer: &[u8; X25519]) -> Result<SharedSecret> {
        Ok(Zeroizing::new(self.x25519.agree(peer)?.to_vec()))
    }
}

/// Copies for the demonstration of a theft.
#[cfg(feature = "state-export")]
impl ShareSecret {
    /// Bytes that [`ShareSecret::from_stolen`] takes back.
    pub fn steal(&self) -> Zeroizing<Vec<u8>> {
        let seed = self.ml_kem.as_ref().map_or(&[][..], |seed| seed);
        Zeroizing::new([&self.drawn[..], seed].concat())
    }

    /// Takes back what [`ShareSecret::steal`] gave.
    ///
    /// # Errors
    /// [`Error::KeyShare`] if the bytes are not a secret of this suite.
    pub fn from_stolen(suite: Agreement, stolen: &[u8]) -> Result<Self> {
        let (drawn, seed) = stolen.split_at_checked(X25519).ok_or(Error::KeyShare)?;
        let drawn: [u8; X25519] = drawn.try_into().map_err(|_| Error::KeyShare)?;
        let ml_kem = match suite {
            Agreement::X25519 if seed.is_empty() => None,
            Agreement::X25519MlKem768 if seed.len() == SEED => Some(Zeroizing::new(seed.to_vec())),
            _ => return Err(Error::KeyShare),
        };
        Ok(Self {
            x25519: X25519Secret::from_bytes(&drawn),
            ml_kem,
            drawn: Zeroizing::new(drawn),
        })
    }
}

impl PeerShare {
    /// Bytes that [`PeerShare::from_bytes`] takes back.
    #[cfg(feature = "state-export")]
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.x25519[..], &self.encapsulation_key].concat()
    }

    /// Takes back what [`PeerShare::to_bytes`] gave.
    ///
    /// # Errors
    /// [`Error::KeyShare`] if the bytes are not a share of this suite.
    #[cfg(feature = "state-export")]
    pub fn from_bytes(suite: Agreement, bytes: &[u8]) -> Result<Self> {
        receive(suite, None, bytes).map(|(share, _)| share)
    }
}

fn decapsulation_key(seed: &[u8]) -> Result<DecapsulationKey<MlKem768>> {
    let seed: Zeroizing<[u8; SEED]> = Zeroizing::new(seed.try_into().map_err(|_| Error::KeyShare)?);
    Ok(DecapsulationKey::from_seed((*seed).into()))
}

fn encapsulation_key(bytes: &[u8]) -> Result<EncapsulationKey<MlKem768>> {
    EncapsulationKey::<MlKem768>::new_from_slice(bytes).map_err(|_| Error::KeyShare)
}
