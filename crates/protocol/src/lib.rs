//! Armour's protocol: key schedule, lanes, tickets and messages.
//!
//! The crate does no I/O, reads no clock and takes its randomness as a
//! parameter. `docs/protocol.md` is its specification.
//!
//! * [`bundle`]: the minted secret and what it is bound to;
//! * [`consumer`] and [`producer`]: the two state machines of a lane, whose
//!   states are types;
//! * [`ticket`]: signed tickets and chains of them;
//! * [`message`]: heads on the wire, payload signatures;
//! * [`segment`]: sealing and opening a body piece by piece;
//! * [`crypto`]: the primitives, of one of two backends;
//! * [`ledger`]: the control plane's decision whether two reports agree;
//! * [`v2`]: the next version, which no agent speaks yet.

#![forbid(unsafe_code)]

pub mod agreement;
pub mod bundle;
pub mod consumer;
pub mod crypto;
pub mod envelope;
mod error;
pub mod ledger;
pub mod message;
pub mod producer;
pub mod schedule;
pub mod segment;
pub mod suite;
pub mod ticket;
pub mod v2;

pub use error::{Error, Result};
pub use suite::Suite;

/// The protocol version that heads and tickets carry.
pub const VERSION: u8 = 1;
