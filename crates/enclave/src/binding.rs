//! What keys and lanes belong to, as both sides of the enclave's socket name it.

use armour_protocol::v2::{
    context::{Binding as ProtocolBinding, Context, End},
    error::HeadError,
    suite::Suite,
};
use ed25519_dalek::VerifyingKey;
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
    /// Number of the consumer's draw.
    pub draw: u64,
    /// SHA-256 of the policy's canonical JSON.
    pub policy: [u8; 32],
    /// The consumer's end.
    pub consumer: BindingEnd,
    /// The producer's end.
    pub producer: BindingEnd,
}

/// One end of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingEnd {
    /// Whose endpoint it is.
    pub party: [u8; 16],
    /// The endpoint.
    pub endpoint: [u8; 16],
    /// The incarnation key, Ed25519.
    pub key: [u8; 32],
}

/// A lane of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LaneId {
    /// The bundle.
    pub bundle: [u8; 16],
    /// The lane's number.
    pub lane: u16,
}

impl Binding {
    /// The protocol's form of it.
    ///
    /// # Errors
    /// [`HeadError::Suite`], or [`HeadError::Malformed`] for a key that is none.
    pub fn context(&self) -> Result<Context, HeadError> {
        Ok(Context::new(ProtocolBinding {
            suite: Suite::from_u8(self.suite)?,
            tenant: self.tenant,
            pair: self.pair,
            bundle: self.bundle,
            draw: self.draw,
            policy: self.policy,
            consumer: self.consumer.end()?,
            producer: self.producer.end()?,
        }))
    }
}

impl BindingEnd {
    fn end(&self) -> Result<End, HeadError> {
        Ok(End {
            party: self.party,
            endpoint: self.endpoint,
            key: VerifyingKey::from_bytes(&self.key).map_err(|_| HeadError::Malformed)?,
        })
    }
}
