//! What a thief of a lane's state computes, by hand and from `docs/protocol.md` alone: what is
//! attacked takes no part in the attack.

use std::convert::Infallible;

use armour_protocol::v2::{
    body::{BODY_LEN, HEADER_LEN},
    message::{SignedReceipt, SignedTicket},
    suite::Suite,
};
use ed25519_dalek::{Signer, SigningKey};
use hkdf::Hkdf;
use ml_kem::{
    EncapsulationKey, MlKem768,
    kem::{Encapsulate, FromSeed, KeyExport, TryKeyInit},
};
use rand_core::{CryptoRng, TryCryptoRng, TryRng};
use sha2::{Digest, Sha256};
use x25519_dalek::{PublicKey, StaticSecret};

const X25519: usize = 32;
const ENCAPSULATION_KEY: usize = 1184;

/// Of what a lane's end holds, that from which keys follow.
pub struct Stolen {
    pub consumer_root: [u8; 32],
    pub producer_root: [u8; 32],
    pub transcript: [u8; 32],
    /// The producer's latest share, without a ciphertext.
    pub peer: Vec<u8>,
}

/// A ticket or a receipt as whoever is on the path has it.
pub struct Head {
    bytes: Vec<u8>,
    /// Where the key commitment begins, and where it ends.
    commitment: [usize; 2],
    suite: Suite,
}

/// What re-keying a root gives.
pub struct Step {
    pub key: [u8; 32],
    pub commitment: [u8; 32],
    pub root: [u8; 32],
}

impl Stolen {
    /// Of an idle consumer's lane.
    pub fn of_consumer(state: &[u8]) -> Self {
        let at = |at: usize| state[at..at + 32].try_into().unwrap();
        // Lane, three secrets; the last ticket's body and the clock.
        let peer = 2 + 3 * 32 + BODY_LEN + 16;
        let length = u16::from_be_bytes(state[peer..peer + 2].try_into().unwrap());
        Self {
            consumer_root: at(2),
            producer_root: at(2 + 32),
            transcript: at(2 + 64),
            peer: state[peer + 2..][..usize::from(length)].to_vec(),
        }
    }
}

impl Head {
    pub fn of_ticket(sent: &SignedTicket) -> Self {
        let suite = sent.unverified().header().suite;
        Self::new(sent.to_bytes(), sent.proof().to_bytes().len(), suite)
    }

    pub fn of_receipt(sent: &SignedReceipt) -> Self {
        let suite = sent.unverified().header().suite;
        Self::new(sent.to_bytes(), sent.proof().to_bytes().len(), suite)
    }

    fn new(mut bytes: Vec<u8>, proof: usize, suite: Suite) -> Self {
        bytes.truncate(bytes.len() - proof);
        let commitment = [bytes.len() - 32, bytes.len()];
        Self {
            bytes,
            commitment,
            suite,
        }
    }

    pub fn commitment(&self) -> [u8; 32] {
        self.bytes[self.commitment[0]..].try_into().unwrap()
    }

    /// Of any exchange but a lane's first.
    pub fn share(&self) -> &[u8] {
        let at = HEADER_LEN + 32 + 8 + 2 + 32;
        &self.bytes[at..][..self.suite.share_len(false)]
    }

    /// That part of the share which the next message answers.
    pub fn answerable(&self) -> &[u8] {
        &self.share()[..self.suite.share_len(true)]
    }

    pub fn with_share(mut self, share: &[u8]) -> Self {
        let at = HEADER_LEN + 32 + 8 + 2 + 32;
        self.bytes[at..][..share.len()].copy_from_slice(share);
        self
    }

    pub fn with_commitment(mut self, commitment: &[u8; 32]) -> Self {
        self.bytes[self.commitment[0]..].copy_from_slice(commitment);
        self
    }

    /// The transcript after this head.
    pub fn absorbed(&self, transcript: &[u8; 32]) -> [u8; 32] {
        let head = &self.bytes[..self.commitment[0]];
        hash(b"armour/2 absorb", &[transcript, head])
    }

    /// The whole head under somebody's signature.
    pub fn sign(&self, context: &[u8; 32], label: &[u8], key: &SigningKey) -> Vec<u8> {
        let (before, rest) = self.bytes.split_at(HEADER_LEN + 32);
        let body = [before, &hash(b"armour/2 rest", &[rest])].concat();
        let signature = key.sign(&fields(label, &[context, &body]));
        [&self.bytes[..], &[1], &signature.to_bytes()].concat()
    }
}

/// Re-keys a root.
pub fn step(root: &[u8; 32], agreed: &[u8], transcript: &[u8; 32]) -> Step {
    let (extracted, _) = Hkdf::<Sha256>::extract(Some(root), &[agreed, transcript].concat());
    let extracted = extracted.into();
    Step {
        key: expand(&extracted, b"armour/2 key"),
        commitment: expand(&extracted, b"armour/2 commit"),
        root: expand(&extracted, b"armour/2 next"),
    }
}

/// HKDF-Expand under one of the schedule's labels.
pub fn expand(key: &[u8; 32], label: &[u8]) -> [u8; 32] {
    expand_plain(key, &fields(label, &[]))
}

/// HKDF-Expand (RFC 5869) with what is given.
pub fn expand_plain(key: &[u8; 32], info: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    let prk = Hkdf::<Sha256>::from_prk(key).unwrap();
    prk.expand(info, &mut out).unwrap();
    out
}

/// A share that answers another, and what they agree on. With what a victim drew for its own
/// share it is that share.
pub fn answer<R: CryptoRng>(suite: Suite, peer: &[u8], rng: &mut R) -> (Vec<u8>, Vec<u8>) {
    let mut drawn = [0; X25519];
    rng.fill_bytes(&mut drawn);
    let secret = StaticSecret::from(drawn);
    let mut share = PublicKey::from(&secret).to_bytes().to_vec();
    let theirs: [u8; X25519] = peer[..X25519].try_into().unwrap();
    let mut agreed = secret
        .diffie_hellman(&PublicKey::from(theirs))
        .to_bytes()
        .to_vec();
    if suite == Suite::X25519MlKem768ChaCha20Poly1305 {
        let mut seed = [0; 64];
        rng.fill_bytes(&mut seed);
        let (_, key) = MlKem768::from_seed(&seed.into());
        share.extend_from_slice(&key.to_bytes());
        let theirs = &peer[X25519..][..ENCAPSULATION_KEY];
        let theirs = EncapsulationKey::<MlKem768>::new_from_slice(theirs).unwrap();
        let (ciphertext, shared) = theirs.encapsulate_with_rng(rng);
        share.extend_from_slice(&ciphertext);
        agreed.extend_from_slice(&shared);
    }
    (share, agreed)
}

/// Gives again what somebody drew.
pub struct Replay<'a>(pub &'a [u8]);

impl TryRng for Replay<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        let (drawn, rest) = self.0.split_at(bytes.len());
        bytes.copy_from_slice(drawn);
        self.0 = rest;
        Ok(())
    }
}

impl TryCryptoRng for Replay<'_> {}

/// The label and the fields, each after its length.
fn fields(label: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for field in std::iter::once(&label).chain(parts) {
        out.extend_from_slice(&(field.len() as u32).to_be_bytes());
        out.extend_from_slice(field);
    }
    out
}

fn hash(label: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    Sha256::digest(fields(label, parts)).into()
}
