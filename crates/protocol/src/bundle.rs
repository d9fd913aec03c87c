//! A bundle: one minted secret, what it is bound to, and its lanes' first roots.

use ed25519_dalek::VerifyingKey;
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{
    Suite,
    schedule::{LABEL_BUNDLE, LABEL_ROOT_CONSUMER, LABEL_ROOT_PRODUCER, Root, Transcript},
};

/// Bytes of [`BundleContext::to_bytes`].
pub const CONTEXT_LEN: usize = 1 + 5 * 16 + 2 * 32;

/// The secret that the control plane mints for a bundle, 32 bytes.
pub struct BundleSecret(Box<[u8; 32]>);

/// Everything a bundle's keys are bound to. Identifiers are UUIDs' 16 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleContext {
    /// The suite that the pair's policy names.
    pub suite: Suite,
    /// The tenant.
    pub tenant: [u8; 16],
    /// The pair of consumer and producer.
    pub pair: [u8; 16],
    /// The bundle itself.
    pub bundle: [u8; 16],
    /// The consumer's endpoint.
    pub consumer: [u8; 16],
    /// The producer's endpoint.
    pub producer: [u8; 16],
    /// Key under which the consumer's endpoint signs.
    pub consumer_key: VerifyingKey,
    /// Key under which the producer's endpoint signs.
    pub producer_key: VerifyingKey,
}

/// What both state machines of a lane start from.
pub(crate) struct LaneStart {
    pub consumer_root: Root,
    pub producer_root: Root,
    pub transcript: Transcript,
}

impl BundleSecret {
    /// A secret from its 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Box::new(bytes))
    }

    /// The secret's bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn lane(&self, context: &BundleContext, lane: u32) -> LaneStart {
        let (mut prk, _) = Hkdf::<Sha256>::extract(Some(LABEL_BUNDLE), &*self.0);
        let mut key: [u8; 32] = prk.into();
        prk.zeroize();
        let bound = context.to_bytes();
        let number = lane.to_be_bytes();
        let start = LaneStart {
            consumer_root: Root::derived(&key, &[LABEL_ROOT_CONSUMER, &bound, &number]),
            producer_root: Root::derived(&key, &[LABEL_ROOT_PRODUCER, &bound, &number]),
            transcript: Transcript::start(&bound, lane),
        };
        key.zeroize();
        start
    }
}

impl Drop for BundleSecret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl ZeroizeOnDrop for BundleSecret {}

impl BundleContext {
    /// The context as bytes: suite, tenant, pair, bundle, consumer, producer,
    /// consumer's key, producer's key.
    pub fn to_bytes(&self) -> [u8; CONTEXT_LEN] {
        let mut out = [0u8; CONTEXT_LEN];
        out[0] = self.suite as u8;
        let ids = [
            &self.tenant,
            &self.pair,
            &self.bundle,
            &self.consumer,
            &self.producer,
        ];
        for (slot, id) in out[1..81].chunks_exact_mut(16).zip(ids) {
            slot.copy_from_slice(id);
        }
        out[81..113].copy_from_slice(self.consumer_key.as_bytes());
        out[113..145].copy_from_slice(self.producer_key.as_bytes());
        out
    }
}
