//! The whole system as real processes: PostgreSQL, control plane, nginx, the
//! two agents of one pair, and a hop between them that records and breaks.
#![expect(clippy::disallowed_methods, reason = "real processes in real time")]

pub mod chaos;
pub mod clones;
pub mod crashes;
pub mod deadlines;
pub mod disk;
pub mod drills;
pub mod faults;
pub mod fleet;
pub mod gate;
pub mod hop;
pub mod ledger;
pub mod load;
pub mod network;
pub mod not_tried;
pub mod process;
pub mod simulated;
pub mod streams;
pub mod system;
pub mod thief;
