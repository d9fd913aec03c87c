//! What a bundle is bound to: every derivation and every signature takes its hash.

use ed25519_dalek::VerifyingKey;
use sha2::{Digest, Sha256};

use super::{VERSION, fields::join, suite::Suite};

const LABEL: &[u8] = b"armour/2 context";

/// One end of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Whose endpoint it is.
    pub party: [u8; 16],
    /// The endpoint.
    pub endpoint: [u8; 16],
    /// The incarnation key: what this start of the endpoint signs with.
    pub key: VerifyingKey,
}

/// What a bundle is bound to. Identifiers are UUIDs' 16 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The suite that the bundle was minted with.
    pub suite: Suite,
    /// The tenant.
    pub tenant: [u8; 16],
    /// The pair of consumer and producer.
    pub pair: [u8; 16],
    /// The bundle itself.
    pub bundle: [u8; 16],
    /// The number of the draw that asked for it.
    pub draw: u64,
    /// SHA-256 of the policy that it was minted under.
    pub policy: [u8; 32],
    /// The end that calls.
    pub consumer: End,
    /// The end that serves.
    pub producer: End,
}

/// A [`Binding`] and its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    binding: Binding,
    hash: [u8; 32],
}

impl Context {
    /// The context of this binding.
    pub fn new(binding: Binding) -> Self {
        let hash = Sha256::digest(binding.to_bytes()).into();
        Self { binding, hash }
    }

    /// What the bundle is bound to.
    pub fn binding(&self) -> &Binding {
        &self.binding
    }

    /// The suite.
    pub fn suite(&self) -> Suite {
        self.binding.suite
    }

    /// SHA-256 of the context's bytes.
    pub fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// The bytes that the hash is of.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.binding.to_bytes()
    }
}

impl Binding {
    fn to_bytes(&self) -> Vec<u8> {
        join(
            LABEL,
            &[
                &[VERSION],
                &[self.suite as u8],
                &self.tenant,
                &self.pair,
                &self.bundle,
                &self.draw.to_be_bytes(),
                &self.policy,
                &self.consumer.party,
                &self.consumer.endpoint,
                self.consumer.key.as_bytes(),
                &self.producer.party,
                &self.producer.endpoint,
                self.producer.key.as_bytes(),
            ],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v2::testing::binding;

    /// Whatever differs between two bundles makes another context.
    #[test]
    fn every_part_is_in_the_hash() {
        let changes: [fn(&mut Binding); 13] = [
            |b| b.suite = Suite::X25519Aes256Gcm,
            |b| b.tenant[0] ^= 1,
            |b| b.pair[0] ^= 1,
            |b| b.bundle[0] ^= 1,
            |b| b.draw ^= 1,
            |b| b.policy[0] ^= 1,
            |b| b.consumer.party[0] ^= 1,
            |b| b.consumer.endpoint[0] ^= 1,
            |b| b.consumer.key = b.producer.key,
            |b| b.producer.party[0] ^= 1,
            |b| b.producer.endpoint[0] ^= 1,
            |b| b.producer.key = b.consumer.key,
            |b| std::mem::swap(&mut b.consumer, &mut b.producer),
        ];
        let genuine = Context::new(binding(Suite::X25519ChaCha20Poly1305));
        assert_eq!(genuine.to_bytes().len(), 290);
        for change in changes {
            let mut other = genuine.binding().clone();
            change(&mut other);
            assert_ne!(Context::new(other).hash(), genuine.hash());
        }
    }
}
