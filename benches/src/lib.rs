//! Endpoints and a control plane, shared by the benchmarks of whole systems.
#![expect(clippy::disallowed_methods, reason = "measures real time")]

pub mod by_hand;

pub use armour_e2e::simulated as service;
