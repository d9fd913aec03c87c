//! Lanes, bundles and the ledger as a state machine for a model checker.
//!
//! What is checked is the real thing where there is one: lanes at either end, the proxy's
//! screen and its decision to begin are `armour_protocol`'s own ([`lanes`]), and what a
//! report means is decided by its ledger. So are starts, links and their judgement
//! ([`identity`]), and the sub-tickets and sub-receipts by which an exchange's streams re-key
//! ([`line`]). What agents and the control plane do around them is written anew here
//! ([`system`]), as the protocol's page says.
//!
//! Left out: content in streams with what its checkpoints say, lanes that are closed, several bundles
//! of one consumer or producer endpoints of one party at once, what people choose between
//! two starts, shared signatures, suites other than the first.

#![expect(clippy::disallowed_methods, reason = "says how long checking took")]
#![forbid(unsafe_code)]

pub mod bounds;
pub mod identity;
pub mod lanes;
mod ledger;
pub mod line;
pub mod scenarios;
pub mod system;
