//! Endpoints and a control plane, shared by the benchmarks of whole systems.

pub use armour_e2e::simulated as service;
