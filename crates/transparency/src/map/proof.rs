//! What a map's root proves of one endpoint.

use uuid::Uuid;

use super::{
    leaf::EndpointLeaf,
    tree::{EMPTY, Key, MAX_DEPTH, MapError, fold},
};
use crate::merkle::Hash;

/// Checks that the map says this of an endpoint, and so nothing else: a place on its path is
/// a leaf or an inner node, whose hashes never agree.
///
/// # Errors
/// `Proof`.
pub fn check_presence(leaf: &EndpointLeaf, beside: &[Hash], root: &Hash) -> Result<(), MapError> {
    let key = Key::of(leaf.endpoint);
    if beside.len() <= MAX_DEPTH && fold(&key, leaf.hash(), beside) == *root {
        Ok(())
    } else {
        Err(MapError::Proof)
    }
}

/// Checks that the map says nothing of an endpoint: where its path ends there is no leaf, or
/// that of another one.
///
/// # Errors
/// `Proof`.
pub fn check_absence(
    endpoint: Uuid,
    end: Option<&EndpointLeaf>,
    beside: &[Hash],
    root: &Hash,
) -> Result<(), MapError> {
    if beside.len() > MAX_DEPTH {
        return Err(MapError::Proof);
    }
    let key = Key::of(endpoint);
    let place = key.at(beside.len());
    let another = |leaf: &EndpointLeaf| {
        leaf.endpoint != endpoint && Key::of(leaf.endpoint).at(place.depth) == place
    };
    let hash = end.map_or(EMPTY, EndpointLeaf::hash);
    if end.is_none_or(another) && fold(&key, hash, beside) == *root {
        Ok(())
    } else {
        Err(MapError::Proof)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use armour_api::EndpointState;
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::map::{MapInMemory, MapPath};

    /// The definition, word for word, of the leaves whose keys begin with `depth` bits of a key.
    fn definition(leaves: &[(Key, Hash)], depth: usize) -> Hash {
        match leaves {
            [] => EMPTY,
            [(_, leaf)] => *leaf,
            _ => {
                let (right, left): (Vec<_>, Vec<_>) = leaves
                    .iter()
                    .copied()
                    .partition(|(key, _)| key.turns_right(depth));
                Sha256::new()
                    .chain_update(b"armour/2 map node")
                    .chain_update(definition(&left, depth + 1))
                    .chain_update(definition(&right, depth + 1))
                    .finalize()
                    .into()
            }
        }
    }

    fn leaf(endpoint: u8, said: u8) -> EndpointLeaf {
        EndpointLeaf {
            start: Some([said; 32]),
            ..EndpointLeaf::new(Uuid::from_u128(endpoint.into()))
        }
    }

    fn path(map: &MapInMemory, endpoint: Uuid) -> MapPath {
        MapPath::follow(endpoint, map.nodes(), MAX_DEPTH)
            .unwrap()
            .unwrap()
    }

    proptest! {
        #[test]
        fn a_map_has_the_root_of_the_definition_whatever_the_order(
            said in proptest::collection::vec((0u8..60, any::<u8>()), 0..90)
        ) {
            let (mut map, mut model) = (MapInMemory::default(), BTreeMap::new());
            for (endpoint, said) in said {
                let leaf = leaf(endpoint, said);
                model.insert(endpoint, leaf.clone());
                map.set(leaf).unwrap();
                let leaves: Vec<_> = model.values()
                    .map(|leaf| (Key::of(leaf.endpoint), leaf.hash())).collect();
                prop_assert_eq!(map.root(), definition(&leaves, 0));
            }
        }

        #[test]
        fn a_map_proves_what_it_says_and_nothing_else(
            said in proptest::collection::btree_map(0u8..80, any::<u8>(), 0..60),
            at in any::<usize>(), bit in 0usize..256
        ) {
            let mut map = MapInMemory::default();
            for (endpoint, said) in &said {
                map.set(leaf(*endpoint, *said)).unwrap();
            }
            let root = map.root();
            for endpoint in 0..80 {
                let id = Uuid::from_u128(endpoint.into());
                let path = path(&map, id);
                let beside = path.beside();
                prop_assert_eq!(path.root(), root);
                prop_assert!(beside.len() <= 24, "{} steps", beside.len());
                let absent = check_absence(id, path.end(), beside, &root);
                let Some(said) = said.get(&endpoint) else {
                    prop_assert_eq!(absent, Ok(()));
                    prop_assert!(check_presence(&leaf(endpoint, 0), beside, &root).is_err());
                    continue;
                };
                prop_assert!(absent.is_err());
                prop_assert!(check_absence(id, None, beside, &root).is_err());
                let own = leaf(endpoint, *said);
                prop_assert_eq!(check_presence(&own, beside, &root), Ok(()));
                // Another state, start, certificate or address is none of it.
                let others = [
                    EndpointLeaf { state: EndpointState::Revoked, ..own.clone() },
                    EndpointLeaf { start: None, ..own.clone() },
                    EndpointLeaf { certificate: Some([1; 32]), ..own.clone() },
                    EndpointLeaf { address: Some("http://x".into()), ..own.clone() },
                ];
                for other in others {
                    prop_assert!(check_presence(&other, beside, &root).is_err());
                }
                let mut changed = beside.to_vec();
                if !changed.is_empty() {
                    let at = at % changed.len();
                    changed[at][bit / 8] ^= 1 << (bit % 8);
                    prop_assert!(check_presence(&own, &changed, &root).is_err());
                }
                let longer = [beside, &[EMPTY]].concat();
                prop_assert!(check_presence(&own, &longer, &root).is_err());
            }
        }
    }

    #[test]
    fn a_proof_that_is_longer_than_a_key_is_none() {
        let (own, beside) = (leaf(1, 1), vec![EMPTY; MAX_DEPTH + 1]);
        assert!(check_presence(&own, &beside, &EMPTY).is_err());
        assert!(check_absence(own.endpoint, None, &beside, &EMPTY).is_err());
    }

    #[test]
    fn of_ten_thousand_endpoints_a_proof_has_some_fifteen_steps() {
        let mut map = MapInMemory::default();
        for endpoint in 0..10_000 {
            map.set(EndpointLeaf::new(Uuid::from_u128(endpoint)))
                .unwrap();
        }
        let steps: usize = (0..1_000)
            .map(|endpoint| path(&map, Uuid::from_u128(endpoint)).beside().len())
            .sum();
        assert!((13_000..17_000).contains(&steps), "{steps}");
    }
}
