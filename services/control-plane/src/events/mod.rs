//! Events, as streams to whoever follows them.

pub mod announcements;
pub mod batch_reader;
pub mod notifier;
mod open;
mod routes;

pub use open::OpenStreams;
pub use routes::{EventStreams, routes};
