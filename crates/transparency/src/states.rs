//! What the log's map proves of the ends of a bundle that is granted.

use armour_api::{EndpointState, KeyProof, StateProof};
use base64::{Engine, engine::general_purpose::STANDARD};
use thiserror::Error;
use uuid::Uuid;

use crate::{
    head::{bytes, hashes},
    map::{EndpointLeaf, check_presence},
    merkle::Hash,
};

/// An end of a bundle, as its grant tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantedEnd {
    /// The endpoint.
    pub endpoint: Uuid,
    /// H of the start whose keys the bundle names.
    pub start: Hash,
    /// SHA-256 of the party's certificate that comes with it.
    pub certificate: Option<Hash>,
    /// Where a producer's endpoint is reached.
    pub address: Option<String>,
}

/// Why the log does not bear out a grant.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StateError {
    /// It is not proven what the log says.
    #[error("{0}")]
    Unproven(String),
    /// The log says otherwise, perhaps by now.
    #[error("{0}")]
    Otherwise(String),
}

/// Checks that by the head's map each end may act, and that its last start, its certificate
/// and its address are those of the grant. The head's signature is for the caller to check.
///
/// # Errors
/// [`StateError`].
pub fn check_states(proof: &KeyProof, ends: &[GrantedEnd]) -> Result<(), StateError> {
    let root = proof.head.map_root.as_deref().and_then(bytes);
    let root = root.ok_or_else(|| {
        StateError::Unproven("the log's head comes without its map of endpoints".into())
    })?;
    ends.iter().try_for_each(|end| check(proof, end, &root))
}

fn check(proof: &KeyProof, end: &GrantedEnd, root: &Hash) -> Result<(), StateError> {
    let id = end.endpoint;
    let unproven = |what: &str| StateError::Unproven(format!("{what} of endpoint {id}"));
    let state = proof.states.iter().find(|state| state.endpoint_id == id);
    let state = state.ok_or_else(|| unproven("no proof of the state"))?;
    let (leaf, path) = read(state).ok_or_else(|| unproven("a malformed proof of the state"))?;
    check_presence(&leaf, &path, root)
        .map_err(|error| StateError::Unproven(format!("the state of endpoint {id}: {error}")))?;
    let otherwise = |what: &str| {
        let why = format!("by the log, endpoint {id} {what}");
        Err(StateError::Otherwise(why))
    };
    match leaf.state {
        EndpointState::Active => {}
        EndpointState::Revoked => return otherwise("is revoked"),
        EndpointState::Collided => return otherwise("has collided"),
    }
    if leaf.start != Some(end.start) {
        return otherwise("has another start, or none");
    }
    if leaf.certificate != end.certificate {
        return otherwise("has another certificate");
    }
    if leaf.address != end.address {
        return otherwise("has another address");
    }
    Ok(())
}

fn read(state: &StateProof) -> Option<(EndpointLeaf, Vec<Hash>)> {
    let hash = |text: &Option<String>| match text {
        Some(text) => bytes(text).map(Some),
        None => Some(None),
    };
    let leaf = EndpointLeaf {
        endpoint: state.endpoint_id,
        state: state.state,
        start: hash(&state.start)?,
        certificate: hash(&state.certificate)?,
        address: state.address.clone(),
    };
    Some((leaf, hashes(&state.path)?))
}

/// How a path to a leaf is told.
pub fn to_wire(leaf: &EndpointLeaf, path: &[Hash]) -> StateProof {
    let text = |hash: &Hash| STANDARD.encode(hash);
    StateProof {
        endpoint_id: leaf.endpoint,
        state: leaf.state,
        start: leaf.start.as_ref().map(text),
        certificate: leaf.certificate.as_ref().map(text),
        address: leaf.address.clone(),
        path: path.iter().map(text).collect(),
    }
}

#[cfg(test)]
mod tests {
    use armour_api::SignedHead;
    use chrono::DateTime;

    use super::*;
    use crate::map::MapInMemory;

    fn leaf(number: u128) -> EndpointLeaf {
        EndpointLeaf {
            start: Some([1; 32]),
            certificate: Some([2; 32]),
            address: Some("https://till".into()),
            ..EndpointLeaf::new(Uuid::from_u128(number))
        }
    }

    fn granted() -> GrantedEnd {
        GrantedEnd {
            endpoint: Uuid::from_u128(7),
            start: [1; 32],
            certificate: Some([2; 32]),
            address: Some("https://till".into()),
        }
    }

    /// The proof of endpoint 7 in a map where it is this leaf.
    fn proof(own: EndpointLeaf) -> KeyProof {
        let mut map = MapInMemory::default();
        for number in 0..20 {
            map.set(leaf(number)).unwrap();
        }
        map.set(own).unwrap();
        let path = map.path(Uuid::from_u128(7)).unwrap();
        let states = vec![to_wire(path.leaf().unwrap(), path.beside())];
        KeyProof {
            head: SignedHead {
                tenant_id: Uuid::nil(),
                size: 1,
                root: String::new(),
                map_root: Some(STANDARD.encode(map.root())),
                at: DateTime::UNIX_EPOCH,
                signature: String::new(),
            },
            consistency: Vec::new(),
            rotations: Vec::new(),
            keys: Vec::new(),
            states,
        }
    }

    #[test]
    fn a_grant_that_the_log_bears_out_is_taken() {
        assert_eq!(check_states(&proof(leaf(7)), &[granted()]), Ok(()));
    }

    #[test]
    fn a_revoked_endpoint_an_earlier_start_and_another_address_are_not_granted() {
        let own = leaf(7);
        let otherwise = [
            EndpointLeaf {
                state: EndpointState::Revoked,
                ..own.clone()
            },
            EndpointLeaf {
                state: EndpointState::Collided,
                ..own.clone()
            },
            EndpointLeaf {
                start: Some([9; 32]),
                ..own.clone()
            },
            EndpointLeaf {
                start: None,
                ..own.clone()
            },
            EndpointLeaf {
                certificate: None,
                ..own.clone()
            },
            EndpointLeaf {
                address: Some("https://thief".into()),
                ..own.clone()
            },
            EndpointLeaf {
                address: None,
                ..own
            },
        ];
        for leaf in otherwise {
            let checked = check_states(&proof(leaf), &[granted()]);
            assert!(
                matches!(checked, Err(StateError::Otherwise(_))),
                "{checked:?}"
            );
        }
    }

    #[test]
    fn a_state_that_the_head_does_not_hold_is_not_believed() {
        let honest = proof(EndpointLeaf {
            state: EndpointState::Revoked,
            ..leaf(7)
        });
        type Lie = fn(&mut KeyProof);
        let lies: [Lie; 6] = [
            |proof| proof.states[0].state = EndpointState::Active,
            |proof| proof.states[0].path.truncate(1),
            |proof| proof.states[0].path[0] = STANDARD.encode([0; 31]),
            |proof| proof.states[0].endpoint_id = Uuid::from_u128(8),
            |proof| proof.states.clear(),
            |proof| proof.head.map_root = None,
        ];
        for lie in lies {
            let mut proof = honest.clone();
            lie(&mut proof);
            let checked = check_states(&proof, &[granted()]);
            assert!(
                matches!(checked, Err(StateError::Unproven(_))),
                "{checked:?}"
            );
        }
    }
}
