//! What the map says of one endpoint.

use armour_api::EndpointState;
use sha2::{Digest, Sha256};
use thiserror::Error;
use uuid::Uuid;

use crate::merkle::Hash;

/// What a leaf's bytes begin with.
const LABEL: &[u8; 17] = b"armour/2 map leaf";

/// What an endpoint is at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointLeaf {
    /// The endpoint.
    pub endpoint: Uuid,
    /// Whether it may act.
    pub state: EndpointState,
    /// H of its last start, unless that has ended without another one.
    pub start: Option<Hash>,
    /// SHA-256 of its party's certificate, if one was given.
    pub certificate: Option<Hash>,
    /// Where a producer's endpoint is reached.
    pub address: Option<String>,
}

/// Bytes that are no leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("these bytes are no leaf of a map")]
pub struct LeafError;

impl EndpointLeaf {
    /// An endpoint of which nothing is known but that it is there.
    pub fn new(endpoint: Uuid) -> Self {
        Self {
            endpoint,
            state: EndpointState::Active,
            start: None,
            certificate: None,
            address: None,
        }
    }

    /// The leaf's hash in the map: SHA-256 of its bytes.
    pub fn hash(&self) -> Hash {
        Sha256::digest(self.to_bytes()).into()
    }

    /// A label, the endpoint (16 bytes), its state (1), the start, the certificate (each a
    /// byte 0, or a byte 1 and 32 bytes), the address (a byte 0, or a byte 1, its length in 8
    /// bytes, big-endian, and UTF-8).
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = LABEL.to_vec();
        bytes.extend_from_slice(self.endpoint.as_bytes());
        bytes.push(code(self.state));
        for hash in [&self.start, &self.certificate] {
            match hash {
                None => bytes.push(0),
                Some(hash) => {
                    bytes.push(1);
                    bytes.extend_from_slice(hash);
                }
            }
        }
        match &self.address {
            None => bytes.push(0),
            Some(address) => {
                bytes.push(1);
                bytes.extend_from_slice(&(address.len() as u64).to_be_bytes());
                bytes.extend_from_slice(address.as_bytes());
            }
        }
        bytes
    }

    /// Reads what [`EndpointLeaf::to_bytes`] wrote.
    ///
    /// # Errors
    /// If it did not.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LeafError> {
        read(bytes).ok_or(LeafError)
    }
}

fn read(bytes: &[u8]) -> Option<EndpointLeaf> {
    let (endpoint, rest) = bytes.strip_prefix(LABEL)?.split_first_chunk()?;
    let (state, rest) = rest.split_first()?;
    let (start, rest) = hash(rest)?;
    let (certificate, rest) = hash(rest)?;
    let address = match rest.split_first()? {
        (0, []) => None,
        (1, rest) => {
            let (length, text) = rest.split_first_chunk()?;
            let fits = u64::from_be_bytes(*length) == text.len() as u64;
            Some(str::from_utf8(text).ok().filter(|_| fits)?.to_owned())
        }
        _ => return None,
    };
    Some(EndpointLeaf {
        endpoint: Uuid::from_bytes(*endpoint),
        state: match state {
            1 => EndpointState::Active,
            2 => EndpointState::Revoked,
            3 => EndpointState::Collided,
            _ => return None,
        },
        start,
        certificate,
        address,
    })
}

fn hash(bytes: &[u8]) -> Option<(Option<Hash>, &[u8])> {
    match bytes.split_first()? {
        (0, rest) => Some((None, rest)),
        (1, rest) => {
            let (hash, rest) = rest.split_first_chunk()?;
            Some((Some(*hash), rest))
        }
        _ => None,
    }
}

fn code(state: EndpointState) -> u8 {
    match state {
        EndpointState::Active => 1,
        EndpointState::Revoked => 2,
        EndpointState::Collided => 3,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn leaves() -> impl Strategy<Value = EndpointLeaf> {
        let states = prop_oneof![
            Just(EndpointState::Active),
            Just(EndpointState::Revoked),
            Just(EndpointState::Collided)
        ];
        let address = proptest::option::of(".{0,40}");
        (
            any::<u128>(),
            states,
            any::<Option<Hash>>(),
            any::<Option<Hash>>(),
            address,
        )
            .prop_map(
                |(endpoint, state, start, certificate, address)| EndpointLeaf {
                    endpoint: Uuid::from_u128(endpoint),
                    state,
                    start,
                    certificate,
                    address,
                },
            )
    }

    proptest! {
        #[test]
        fn a_leaf_has_one_form_and_is_read_as_it_is_written(leaf in leaves(), cut in any::<usize>()) {
            let bytes = leaf.to_bytes();
            prop_assert_eq!(EndpointLeaf::from_bytes(&bytes), Ok(leaf));
            let shorter = &bytes[..cut % bytes.len()];
            prop_assert_eq!(EndpointLeaf::from_bytes(shorter), Err(LeafError));
            let longer = [&bytes[..], &[0]].concat();
            prop_assert_eq!(EndpointLeaf::from_bytes(&longer), Err(LeafError));
        }

        #[test]
        fn leaves_that_differ_have_different_bytes(one in leaves(), other in leaves()) {
            prop_assert_eq!(one == other, one.to_bytes() == other.to_bytes());
        }
    }
}
