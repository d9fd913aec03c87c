//! The audit log, with proofs that nobody has changed it.

pub mod proofs;
pub mod routes;

pub use routes::routes;
