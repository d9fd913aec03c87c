//! Endpoints and a control plane, shared by the benchmarks of whole systems.
#![expect(
    clippy::disallowed_methods,
    reason = "draws the keys of simulated endpoints"
)]

pub mod service;
