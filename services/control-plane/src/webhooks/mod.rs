//! Receivers that are told of events.

pub mod delivery;
mod routes;

pub use routes::routes;
