//! Armour's protocol, without I/O: nothing here reads a clock or draws randomness of its own.
//!
//! * [`v2`]: the protocol, as `docs/protocol.md` has it;
//! * [`crypto`]: the primitives that it is made of, by either of two libraries.

#![forbid(unsafe_code)]

mod agreement;
pub mod crypto;
mod envelope;
mod error;
pub mod v2;

pub use error::{Error, Result};
