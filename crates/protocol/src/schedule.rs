//! The key schedule: roots, re-keying and one-time keys.

use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Label under which the bundle's secret is extracted.
pub const LABEL_BUNDLE: &[u8] = b"armour/1 bundle";
/// Label of the consumer's first root of a lane.
pub const LABEL_ROOT_CONSUMER: &[u8] = b"armour/1 root consumer";
/// Label of the producer's first root of a lane.
pub const LABEL_ROOT_PRODUCER: &[u8] = b"armour/1 root producer";
/// Label of the one-time AEAD key.
pub const LABEL_KEY: &[u8] = b"armour/1 key";
/// Label of the commitment to a root that a head carries.
pub const LABEL_COMMIT: &[u8] = b"armour/1 commit";
/// Label of the root that is kept after a message.
pub const LABEL_NEXT: &[u8] = b"armour/1 next";
/// Label of a lane's first transcript hash.
pub const LABEL_TRANSCRIPT: &[u8] = b"armour/1 transcript";

/// A sender's root secret of one lane, 32 bytes, erased when it is dropped. On the heap:
/// a lane is moved about, and each move would leave a copy behind.
pub struct Root(Box<[u8; 32]>);

/// A one-time AEAD key, 32 bytes, erased when it is dropped.
///
/// It and the root that is kept are siblings (RFC 5869, section 2.3, under labels of
/// their own), so neither leads to the other: the key opens the one payload it was
/// made for (R1, R2), and whoever steals the root opens no payload of before (R5).
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MessageKey([u8; 32]);

/// What re-keying a root gives.
pub struct Step {
    /// The key that seals the one message.
    pub key: MessageKey,
    /// What the message's head carries: it makes the key committing, and tells a wrong
    /// root before any state changes.
    pub commitment: [u8; 32],
    /// The sender's root from now on.
    pub root: Root,
}

/// A hash over every head of a lane so far.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Transcript([u8; 32]);

impl Root {
    /// A root from its 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Box::new(bytes))
    }

    /// Takes in a message's agreed secret and transcript:
    /// `R = HKDF-Extract(salt = this root, ikm = secret || transcript)`, and from R the
    /// message's key, its commitment, and the root that is kept. R itself is erased: it
    /// would lead to the key.
    pub fn rekey(&self, secret: &[u8], transcript: &Transcript) -> Step {
        let mut ikm = Zeroizing::new(Vec::with_capacity(secret.len() + 32));
        ikm.extend_from_slice(secret);
        ikm.extend_from_slice(&transcript.0);
        let (mut prk, _) = Hkdf::<Sha256>::extract(Some(&*self.0), &ikm);
        let extracted = Zeroizing::new(<[u8; 32]>::from(prk));
        prk.zeroize();
        Step {
            key: MessageKey(expand(&extracted, &[LABEL_KEY])),
            commitment: expand(&extracted, &[LABEL_COMMIT]),
            root: Self::derived(&extracted, &[LABEL_NEXT]),
        }
    }

    /// The root that a key of 32 bytes leads to.
    pub(crate) fn derived(key: &[u8; 32], info: &[&[u8]]) -> Self {
        let mut root = Self(Box::default());
        expand_into(key, info, &mut root.0);
        root
    }

    /// The root's bytes, for the demonstration of a theft.
    #[cfg(feature = "state-export")]
    pub fn to_bytes(&self) -> [u8; 32] {
        *self.0
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl ZeroizeOnDrop for Root {}

impl MessageKey {
    /// A key from its 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key's bytes, to hand it from the enclave to the proxy.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Transcript {
    /// The transcript of a lane before its first message.
    pub fn start(context: &[u8], lane: u32) -> Self {
        let hash = Sha256::new_with_prefix(LABEL_TRANSCRIPT)
            .chain_update(context)
            .chain_update(lane.to_be_bytes());
        Self(hash.finalize().into())
    }

    /// The transcript after one more head (without its commitment).
    #[must_use]
    pub fn absorb(&self, head: &[u8]) -> Self {
        Self(
            Sha256::new_with_prefix(self.0)
                .chain_update(head)
                .finalize()
                .into(),
        )
    }

    /// The transcript from its 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The transcript's 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// HKDF-Expand (RFC 5869, section 2.3) of a 32-byte key to 32 bytes.
fn expand(key: &[u8; 32], info: &[&[u8]]) -> [u8; 32] {
    let mut out = [0u8; 32];
    expand_into(key, info, &mut out);
    out
}

fn expand_into(key: &[u8; 32], info: &[&[u8]], out: &mut [u8; 32]) {
    // A 32-byte key is long enough and 32 bytes of output short enough for
    // SHA-256, which are the only two ways in which these calls can fail.
    #[expect(clippy::expect_used, reason = "lengths are constants")]
    Hkdf::<Sha256>::from_prk(key)
        .expect("a 32-byte key")
        .expand_multi_info(info, out)
        .expect("32 bytes of output");
}
