//! How a log's key hands over to the next.

use armour_api::LogKeyRotation;
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use uuid::Uuid;

use crate::head::{bytes, public_key};

/// What a rotation's signed bytes begin with.
const LABEL: &[u8; 25] = b"armour/2 log key rotation";

/// The action of the entry that tells of a rotation: the first that the new key signs.
pub const ROTATE: &str = "audit.rotate-key";

/// What both keys sign when one hands over to the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// Whose log.
    pub tenant: Uuid,
    /// 1 for the log's first rotation.
    pub number: u64,
    /// How many entries the log had: heads of a larger size are the new key's.
    pub size: u64,
    /// When, to the microsecond.
    pub at: DateTime<Utc>,
    /// The key that signed until then.
    pub old: VerifyingKey,
    /// The key that signs from then on.
    pub new: VerifyingKey,
}

impl Rotation {
    /// Signs the rotation (Ed25519, RFC 8032), as either of its keys does.
    pub fn sign(&self, key: &SigningKey) -> [u8; 64] {
        key.sign(&self.message()).to_bytes()
    }

    /// The rotation as the API tells it, with both keys' signatures.
    pub fn to_wire(&self, by_old: &[u8; 64], by_new: &[u8; 64]) -> LogKeyRotation {
        LogKeyRotation {
            tenant_id: self.tenant,
            number: self.number,
            size: self.size,
            at: self.at,
            old_key: STANDARD.encode(self.old),
            new_key: STANDARD.encode(self.new),
            old_signature: STANDARD.encode(by_old),
            new_signature: STANDARD.encode(by_new),
        }
    }

    /// Reads a rotation and checks both signatures.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn check(wire: &LogKeyRotation) -> Result<Self, String> {
        let rotation = Self {
            tenant: wire.tenant_id,
            number: wire.number,
            size: wire.size,
            at: wire.at,
            old: public_key(&wire.old_key).map_err(|why| format!("the old key: {why}"))?,
            new: public_key(&wire.new_key).map_err(|why| format!("the new key: {why}"))?,
        };
        if !rotation.is_signed(&rotation.old, &wire.old_signature) {
            return Err("the old key did not sign the rotation".into());
        }
        if !rotation.is_signed(&rotation.new, &wire.new_signature) {
            return Err("the new key did not sign the rotation".into());
        }
        Ok(rotation)
    }

    /// The bytes signed: a label, the tenant (16 bytes), number, size and microseconds
    /// since 1970 (8 bytes each, big-endian), the old key and the new one (32 bytes each).
    fn message(&self) -> Vec<u8> {
        let mut bytes = LABEL.to_vec();
        bytes.extend_from_slice(self.tenant.as_bytes());
        bytes.extend_from_slice(&self.number.to_be_bytes());
        bytes.extend_from_slice(&self.size.to_be_bytes());
        bytes.extend_from_slice(&self.at.timestamp_micros().to_be_bytes());
        bytes.extend_from_slice(self.old.as_bytes());
        bytes.extend_from_slice(self.new.as_bytes());
        bytes
    }

    fn is_signed(&self, key: &VerifyingKey, signature: &str) -> bool {
        bytes(signature).is_some_and(|signature| {
            key.verify_strict(&self.message(), &Signature::from_bytes(&signature))
                .is_ok()
        })
    }
}
