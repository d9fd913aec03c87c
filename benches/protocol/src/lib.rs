//! What the benchmarks of the protocol share: timing, counting, and both ends of a lane.
//! Apart from those of whole systems, for it is built in a minute.
#![expect(clippy::disallowed_methods, reason = "measures real time")]

pub mod counting;
pub mod judged;
pub mod lane;
mod race;

pub use race::{Contestant, Race};
