//! What keys and lanes belong to, as both sides of the enclave's socket name it.

use serde::{Deserialize, Serialize};

/// What a bundle is bound to, as the control plane grants it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// Cipher suite.
    pub suite: u8,
    /// Tenant.
    pub tenant: [u8; 16],
    /// Pair.
    pub pair: [u8; 16],
    /// Bundle.
    pub bundle: [u8; 16],
    /// The consumer's endpoint.
    pub consumer: [u8; 16],
    /// The producer's endpoint.
    pub producer: [u8; 16],
    /// The consumer endpoint's Ed25519 key.
    pub consumer_key: [u8; 32],
    /// The producer endpoint's Ed25519 key.
    pub producer_key: [u8; 32],
}

/// A lane of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LaneId {
    /// The bundle.
    pub bundle: [u8; 16],
    /// The lane's number.
    pub lane: u32,
}
