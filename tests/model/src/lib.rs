//! Lanes, bundles and the ledger as a state machine for a model checker.
//!
//! What is checked is the real thing where there is one: lanes are
//! `armour_protocol`'s own ([`lanes`]), and what a report means is decided by
//! `armour_protocol::ledger`'s `Chain`, `vouched` and `judge`. What agents and the
//! control plane do around them is written anew here ([`system`]), as
//! `docs/protocol.md` says.

#![expect(clippy::disallowed_methods, reason = "says how long checking took")]
#![forbid(unsafe_code)]

pub mod bounds;
pub mod lanes;
mod ledger;
pub mod scenarios;
pub mod system;
