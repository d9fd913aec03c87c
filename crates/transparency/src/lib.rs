//! Armour's audit log as a Merkle tree (RFC 9162, section 2): what is hashed,
//! how heads are signed, and how anyone checks it without a server.
//!
//! Pure computation: no I/O, no clock, no database.

pub mod entry;
pub mod evidence;
pub mod export;
pub mod head;
pub mod merkle;
pub mod pin;

pub use head::TreeHead;
pub use merkle::{Frontier, Hash, Node};
