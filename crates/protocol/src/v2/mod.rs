//! Version 2 of the protocol, beside version 1 until the agents speak it.
//!
//! `docs/protocol-2.md` is its precise form. Nothing here does I/O, reads a clock or draws
//! randomness of its own.
//!
//! * [`context`], [`schedule`], [`suite`]: what a bundle is bound to, and its keys;
//! * [`body`], [`message`], [`transient`], [`proof`]: tickets, receipts, refusals, and the
//!   signatures over them;
//! * [`gate`]: what keeps strangers out before anything else is done;
//! * [`content`], [`checkpoint`]: what is signed of content;
//! * [`enclave`]: the state machines that hold roots;
//! * [`proxy`]: what holds one-time keys and content;
//! * [`ledger`]: whether two runs of a lane's tickets and receipts agree;
//! * [`retry`]: whether a call may go elsewhere.

pub mod body;
pub mod checkpoint;
pub mod content;
pub mod context;
pub mod enclave;
pub mod envelope;
pub mod error;
mod fields;
pub mod gate;
pub mod ledger;
mod merkle;
pub mod message;
pub mod mode;
pub mod proof;
pub mod proxy;
pub mod retry;
pub mod schedule;
mod secret;
pub mod suite;
#[cfg(test)]
mod testing;
pub mod time;
pub mod transient;

/// The version that heads and contexts carry.
pub const VERSION: u8 = 2;
