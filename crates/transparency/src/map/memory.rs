//! A map in memory: of whoever checks an export, and of tests.

use std::collections::HashMap;

use uuid::Uuid;

use super::{
    change::Change,
    leaf::EndpointLeaf,
    tree::{EMPTY, Key, MAX_DEPTH, MapError, MapNode, MapPath, Place},
};
use crate::merkle::Hash;

/// A map in memory.
#[derive(Debug, Default)]
pub struct MapInMemory {
    nodes: HashMap<Place, MapNode>,
}

impl MapInMemory {
    /// Its root.
    pub fn root(&self) -> Hash {
        let root = self.nodes.get(&Key::of(Uuid::nil()).at(0));
        root.map_or(EMPTY, |node| node.hash)
    }

    /// Its nodes.
    pub fn nodes(&self) -> &HashMap<Place, MapNode> {
        &self.nodes
    }

    /// An endpoint's path.
    ///
    /// # Errors
    /// If the nodes are no map.
    pub fn path(&self, endpoint: Uuid) -> Result<MapPath, MapError> {
        MapPath::follow(endpoint, &self.nodes, MAX_DEPTH)?.ok_or(MapError::Missing)
    }

    /// Makes this the endpoint's leaf.
    ///
    /// # Errors
    /// If the nodes are no map.
    pub fn set(&mut self, leaf: EndpointLeaf) -> Result<(), MapError> {
        let path = self.path(leaf.endpoint)?;
        self.nodes.extend(path.with(leaf)?);
        Ok(())
    }

    /// Applies what an entry of the log changes.
    ///
    /// # Errors
    /// If the nodes are no map.
    pub fn apply(&mut self, endpoint: Uuid, change: Change) -> Result<(), MapError> {
        let before = self.path(endpoint)?.leaf().cloned();
        self.set(change.apply(endpoint, before))
    }
}
