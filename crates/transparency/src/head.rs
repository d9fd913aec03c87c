//! A tree's head and the log's signature on it.

use armour_api::SignedHead;
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use uuid::Uuid;

use crate::merkle::Hash;

/// What a head's signed bytes begin with.
const LABEL: &[u8; 18] = b"armour/2 tree head";
/// The same of heads that were signed before logs had a map.
const LABEL_WITHOUT_MAP: &[u8; 18] = b"armour/1 tree head";

/// What the log's key signs: the tree of a tenant's first `size` entries, and what they make of
/// its endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeHead {
    /// Whose log.
    pub tenant: Uuid,
    /// How many entries.
    pub size: u64,
    /// The tree's root.
    pub root: Hash,
    /// When this was the latest head, to the microsecond: when the last of them was written,
    /// or later.
    pub at: DateTime<Utc>,
    /// The root of the map of endpoints' states; none if it is from before there was one.
    pub map_root: Option<Hash>,
}

impl TreeHead {
    /// The bytes signed: a label, the tenant (16 bytes), size and microseconds
    /// since 1970 (8 bytes each, big-endian), the root and the map's root (32 bytes each).
    fn message(&self) -> Vec<u8> {
        let label = match self.map_root {
            Some(_) => LABEL,
            None => LABEL_WITHOUT_MAP,
        };
        let mut bytes = label.to_vec();
        bytes.extend_from_slice(self.tenant.as_bytes());
        bytes.extend_from_slice(&self.size.to_be_bytes());
        bytes.extend_from_slice(&self.at.timestamp_micros().to_be_bytes());
        bytes.extend_from_slice(&self.root);
        bytes.extend(self.map_root.into_iter().flatten());
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
            map_root: self.map_root.map(|root| STANDARD.encode(root)),
            at: self.at,
            signature: STANDARD.encode(signature),
        }
    }

    /// Reads a head and checks its signature.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn check(wire: &SignedHead, key: &VerifyingKey) -> Result<Self, String> {
        let head = read(wire).ok_or("a root is not 32 bytes in base64")?;
        let signature = bytes(&wire.signature).ok_or("the signature is not 64 bytes in base64")?;
        if head.is_signed(key, &signature) {
            Ok(head)
        } else {
            Err("the log's key did not sign this head".into())
        }
    }
}

/// Whether two heads of a tenant's log cannot both be: the same entries make one tree and one map.
pub fn contradict(one: &SignedHead, other: &SignedHead) -> bool {
    let of_one = (one.tenant_id, one.size) == (other.tenant_id, other.size);
    let maps = one.map_root.as_ref().zip(other.map_root.as_ref());
    of_one && (one.root != other.root || maps.is_some_and(|(one, other)| one != other))
}

/// A signed head in the log's own encoding: the bytes that are signed, and the signature.
/// Nothing if it is none.
pub fn encode(head: &SignedHead) -> Option<Vec<u8>> {
    let signature: [u8; 64] = bytes(&head.signature)?;
    Some([&read(head)?.message()[..], &signature].concat())
}

/// Reads what [`encode`] wrote; the signature is not checked. Nothing if it is none.
pub fn decode(encoded: &[u8]) -> Option<SignedHead> {
    let (label, rest) = encoded.split_first_chunk()?;
    let (tenant, rest) = rest.split_first_chunk()?;
    let (size, rest) = rest.split_first_chunk()?;
    let (micros, rest) = rest.split_first_chunk()?;
    let (root, rest) = rest.split_first_chunk()?;
    let (map_root, rest) = match label {
        LABEL => rest
            .split_first_chunk()
            .map(|(root, rest)| (Some(*root), rest))?,
        LABEL_WITHOUT_MAP => (None, rest),
        _ => return None,
    };
    let head = TreeHead {
        tenant: Uuid::from_bytes(*tenant),
        size: u64::from_be_bytes(*size),
        root: *root,
        at: DateTime::from_timestamp_micros(i64::from_be_bytes(*micros))?,
        map_root,
    };
    Some(head.to_wire(rest.try_into().ok()?))
}

fn read(wire: &SignedHead) -> Option<TreeHead> {
    let map_root = wire.map_root.as_deref();
    Some(TreeHead {
        tenant: wire.tenant_id,
        size: wire.size,
        root: bytes(&wire.root)?,
        at: wire.at,
        map_root: match map_root {
            Some(root) => Some(bytes(root)?),
            None => None,
        },
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_is_encoded() {
        let key = SigningKey::from_bytes(&[1; 32]);
        for (map_root, length) in [(Some([4; 32]), 178), (None, 146)] {
            let head = TreeHead {
                tenant: Uuid::from_u128(7),
                size: 9,
                root: [3; 32],
                at: DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap(),
                map_root,
            };
            let wire = head.to_wire(&head.sign(&key));
            let encoded = encode(&wire).unwrap();
            assert_eq!(encoded.len(), length);
            let read = decode(&encoded).unwrap();
            assert_eq!(read, wire);
            assert_eq!(TreeHead::check(&read, &key.verifying_key()), Ok(head));
            assert_eq!(decode(&encoded[1..]), None);
            assert_eq!(decode(&encoded[..encoded.len() - 1]), None);
        }
    }

    #[test]
    fn a_head_without_its_map_or_with_another_one_is_not_the_signed_one() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let head = TreeHead {
            tenant: Uuid::from_u128(7),
            size: 9,
            root: [3; 32],
            at: DateTime::UNIX_EPOCH,
            map_root: Some([4; 32]),
        };
        let wire = head.to_wire(&head.sign(&key));
        for map_root in [None, Some(STANDARD.encode([5; 32]))] {
            let other = SignedHead {
                map_root,
                ..wire.clone()
            };
            assert!(TreeHead::check(&other, &key.verifying_key()).is_err());
        }
    }
}
