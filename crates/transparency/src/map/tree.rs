//! The map's tree: places, what a change of one leaf changes, and what proves a leaf.

use std::collections::HashMap;

use sha2::{Digest, Sha256};
use thiserror::Error;
use uuid::Uuid;

use super::leaf::EndpointLeaf;
use crate::merkle::Hash;

/// What stands for a subtree without a leaf: nothing hashes to it.
pub const EMPTY: Hash = [0; 32];

/// How deep a leaf may stand: the bits of a key.
pub const MAX_DEPTH: usize = 256;

/// What the bytes of keys and of inner nodes begin with.
const KEY_LABEL: &[u8; 16] = b"armour/2 map key";
const NODE_LABEL: &[u8; 17] = b"armour/2 map node";

/// Why nodes are no map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MapError {
    /// An inner node without what is below it.
    #[error("nodes of the map are missing")]
    Missing,
    /// A leaf stands where it does not belong.
    #[error("a leaf of the map is out of place")]
    Misplaced,
    /// The proof does not lead to the root, or to another endpoint's leaf.
    #[error("the proof does not lead to the map's root")]
    Proof,
}

/// Where an endpoint's leaf is looked for: bit by bit, the most significant first, 0 to the
/// left and 1 to the right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key(Hash);

impl Key {
    /// SHA-256 of a label and the endpoint (16 bytes).
    pub fn of(endpoint: Uuid) -> Self {
        let label = Sha256::new().chain_update(KEY_LABEL);
        Self(label.chain_update(endpoint.as_bytes()).finalize().into())
    }

    /// The place on this key's path that is so many steps below the root.
    pub fn at(&self, depth: usize) -> Place {
        let mut path = self.0;
        for (index, byte) in path.iter_mut().enumerate() {
            let kept = depth.saturating_sub(index * 8).min(8);
            *byte &= !(0xff_u8.checked_shr(kept as u32).unwrap_or(0));
        }
        Place { depth, path }
    }

    /// Whether the path turns right below this depth, which is less than [`MAX_DEPTH`].
    pub(super) fn turns_right(&self, depth: usize) -> bool {
        self.0[depth / 8] & (0x80 >> (depth % 8)) != 0
    }

    /// At which depth two keys part; nothing if they are one.
    fn parts_from(&self, other: &Self) -> Option<usize> {
        (0..MAX_DEPTH).find(|depth| self.turns_right(*depth) != other.turns_right(*depth))
    }
}

/// The root of a subtree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Steps below the map's root.
    pub depth: usize,
    /// The turns that lead there, a bit each; the other bits are 0.
    pub path: Hash,
}

impl Place {
    /// The place beside this one; the root has none.
    pub fn beside(&self) -> Option<Self> {
        let last = self.depth.checked_sub(1)?;
        let mut path = self.path;
        *path.get_mut(last / 8)? ^= 0x80 >> (last % 8);
        Some(Self { path, ..*self })
    }
}

/// What stands in a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapNode {
    /// Its hash.
    pub hash: Hash,
    /// The leaf, if the subtree has just one.
    pub leaf: Option<EndpointLeaf>,
}

/// The way from the root to where an endpoint's leaf is, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapPath {
    key: Key,
    endpoint: Uuid,
    /// Hashes beside the path, from below the root on.
    beside: Vec<Hash>,
    /// The leaf at its end, be it another endpoint's.
    end: Option<EndpointLeaf>,
}

impl MapPath {
    /// Places whose nodes say how the path goes for its first `levels` steps.
    pub fn places(endpoint: Uuid, levels: usize) -> Vec<Place> {
        let key = Key::of(endpoint);
        let own = (0..=levels.min(MAX_DEPTH)).map(|depth| key.at(depth));
        own.flat_map(|place| [Some(place), place.beside()])
            .flatten()
            .collect()
    }

    /// Follows an endpoint's path through nodes of the map. Nothing if it goes on below the
    /// first `levels` steps, which are those that were looked for.
    ///
    /// # Errors
    /// If these are no nodes of a map.
    pub fn follow(
        endpoint: Uuid,
        nodes: &HashMap<Place, MapNode>,
        levels: usize,
    ) -> Result<Option<Self>, MapError> {
        let key = Key::of(endpoint);
        let mut beside = Vec::new();
        let end = loop {
            let depth = beside.len();
            match nodes.get(&key.at(depth)) {
                None => break None,
                Some(MapNode {
                    leaf: Some(leaf), ..
                }) => break Some(leaf.clone()),
                Some(_) if depth >= MAX_DEPTH => return Err(MapError::Missing),
                Some(_) if depth >= levels => return Ok(None),
                Some(_) => {
                    let next = key.at(depth + 1).beside();
                    let next = next.and_then(|place| nodes.get(&place));
                    beside.push(next.map_or(EMPTY, |node| node.hash));
                }
            }
        };
        let place = key.at(beside.len());
        let stands = |leaf: &EndpointLeaf| Key::of(leaf.endpoint).at(place.depth) == place;
        if !end.as_ref().is_none_or(stands) {
            return Err(MapError::Misplaced);
        }
        Ok(Some(Self {
            key,
            endpoint,
            beside,
            end,
        }))
    }

    /// The map's root, as these nodes have it.
    pub fn root(&self) -> Hash {
        let end = self.end.as_ref().map_or(EMPTY, EndpointLeaf::hash);
        fold(&self.key, end, &self.beside)
    }

    /// The endpoint's leaf, if the map has one.
    pub fn leaf(&self) -> Option<&EndpointLeaf> {
        let end = self.end.as_ref();
        end.filter(|leaf| leaf.endpoint == self.endpoint)
    }

    /// The leaf at its end, be it another endpoint's.
    pub fn end(&self) -> Option<&EndpointLeaf> {
        self.end.as_ref()
    }

    /// The hashes beside the path, from below the root on: they prove what is at its end.
    pub fn beside(&self) -> &[Hash] {
        &self.beside
    }

    /// What stands on the path once this is the endpoint's leaf, the root first.
    ///
    /// # Errors
    /// If the leaf is another endpoint's.
    pub fn with(mut self, leaf: EndpointLeaf) -> Result<Vec<(Place, MapNode)>, MapError> {
        if leaf.endpoint != self.endpoint {
            return Err(MapError::Misplaced);
        }
        let mut nodes = Vec::new();
        if let Some(other) = self.end.take().filter(|end| end.endpoint != leaf.endpoint) {
            let key = Key::of(other.endpoint);
            let parts = self.key.parts_from(&key).ok_or(MapError::Misplaced)?;
            // Both move down to where their paths part; between there is nothing else.
            self.beside.resize(parts, EMPTY);
            self.beside.push(other.hash());
            let (hash, other) = (other.hash(), Some(other));
            nodes.push((key.at(parts + 1), MapNode { hash, leaf: other }));
        }
        let mut depth = self.beside.len();
        let mut hash = leaf.hash();
        let leaf = Some(leaf);
        nodes.push((self.key.at(depth), MapNode { hash, leaf }));
        while let Some(beside) = self.beside.pop() {
            depth -= 1;
            hash = parent(&self.key, depth, hash, &beside);
            nodes.push((self.key.at(depth), MapNode { hash, leaf: None }));
        }
        nodes.reverse();
        Ok(nodes)
    }
}

/// The root that a hash at the end of a key's path leads to.
pub(super) fn fold(key: &Key, end: Hash, beside: &[Hash]) -> Hash {
    let steps = beside.iter().enumerate().rev();
    steps.fold(end, |hash, (depth, beside)| {
        parent(key, depth, hash, beside)
    })
}

/// The node at a depth of a key's path: `SHA-256(label || left || right)`.
fn parent(key: &Key, depth: usize, hash: Hash, beside: &Hash) -> Hash {
    let (left, right) = match key.turns_right(depth) {
        true => (beside, &hash),
        false => (&hash, beside),
    };
    Sha256::new()
        .chain_update(NODE_LABEL)
        .chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}
