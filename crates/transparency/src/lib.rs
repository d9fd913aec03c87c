//! Armour's audit log as a Merkle tree (RFC 9162, section 2): what is hashed,
//! how heads are signed, and how anyone checks it without a server.
//!
//! Pure computation: no I/O, no clock, no database.

pub mod entry;
pub mod evidence;
pub mod export;
pub mod head;
pub mod key_chain;
pub mod map;
pub mod merkle;
pub mod pin;
pub mod rotation;
pub mod states;

pub use head::TreeHead;
pub use key_chain::KeyChain;
pub use merkle::{Frontier, Hash, Node};
pub use rotation::Rotation;
