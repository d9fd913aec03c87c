//! A tree's head and the log's signature on it.

use armour_api::SignedHead;
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use uuid::Uuid;

use crate::merkle::Hash;

/// What the log's key signs: the tree of a tenant's first `size` entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeHead {
    /// Whose log.
    pub tenant: Uuid,
    /// How many entries.
    pub size: u64,
    /// The tree's root.
    pub root: Hash,
    /// When the last of them was written, to the microsecond.
    pub at: DateTime<Utc>,
}

impl TreeHead {
    /// The bytes signed: a label, the tenant (16 bytes), size and microseconds
    /// since 1970 (8 bytes each, big-endian), the root (32 bytes).
    fn message(&self) -> Vec<u8> {
        let mut bytes = b"armour/1 tree head".to_vec();
        bytes.extend_from_slice(self.tenant.as_bytes());
        bytes.extend_from_slice(&self.size.to_be_bytes());
        bytes.extend_from_slice(&self.at.timestamp_micros().to_be_bytes());
        bytes.extend_from_slice(&self.root);
        bytes
    }

    /// Signs the head (Ed25519, RFC 8032).
    pub fn sign(&self, key: &SigningKey) -> [u8; 64] {
        key.sign(&self.message()).to_bytes()
    }

    /// Whether the log's key signed this head.
    pub fn is_signed(&self, key: &VerifyingKey, signature: &[u8; 64]) -> bool {
        key.verify_strict(&self.message(), &Signature::from_bytes(signature))
            .is_ok()
    }

    /// The head as the API tells it.
    pub fn to_wire(&self, signature: &[u8; 64]) -> SignedHead {
        SignedHead {
            tenant_id: self.tenant,
            size: self.size,
            root: STANDARD.encode(self.root),
            at: self.at,
            signature: STANDARD.encode(signature),
        }
    }

    /// Reads a head and checks its signature.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn check(wire: &SignedHead, key: &VerifyingKey) -> Result<Self, String> {
        let head = Self {
            tenant: wire.tenant_id,
            size: wire.size,
            root: bytes(&wire.root).ok_or("the root is not 32 bytes in base64")?,
            at: wire.at,
        };
        let signature = bytes(&wire.signature).ok_or("the signature is not 64 bytes in base64")?;
        if head.is_signed(key, &signature) {
            Ok(head)
        } else {
            Err("the log's key did not sign this head".into())
        }
    }
}

/// Bytes of a known length from base64.
pub(crate) fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

/// A list of hashes from base64.
pub(crate) fn hashes(texts: &[String]) -> Option<Vec<Hash>> {
    texts.iter().map(|text| bytes(text)).collect()
}

/// An Ed25519 public key from base64.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub fn public_key(text: &str) -> Result<VerifyingKey, String> {
    let bytes = bytes(text).ok_or("not 32 bytes in base64")?;
    VerifyingKey::from_bytes(&bytes).map_err(|_| "not an Ed25519 public key".into())
}
