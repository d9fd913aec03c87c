//! Events, as streams to whoever follows them.

pub mod batch_reader;
pub mod notifier;
mod routes;

pub use routes::{EventStreams, routes};
