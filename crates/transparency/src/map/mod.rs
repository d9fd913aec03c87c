//! What each endpoint of a tenant is at a time: a sparse Merkle tree, whose root the log's
//! heads hold beside that of the entries.
//!
//! An endpoint's place is the path that the bits of [`Key::of`] it name, from the root. A
//! subtree without a leaf is [`EMPTY`], one with a single leaf is that leaf's hash, wherever
//! it begins, and any other the hash of its halves: so a path has some log2(n) steps. Entries
//! of the log say what changes ([`Change`]): whoever has all of them can compute the map.

mod change;
mod leaf;
mod memory;
mod proof;
mod tree;

pub use change::Change;
pub use leaf::{EndpointLeaf, LeafError};
pub use memory::MapInMemory;
pub use proof::{check_absence, check_presence};
pub use tree::{EMPTY, Key, MAX_DEPTH, MapError, MapNode, MapPath, Place};
