//! The producer's agent: protected exchanges in, plain HTTP to the upstream.
//!
//! * [`open`]: starts it;
//! * [`endpoint`]: the producer itself;
//! * [`exchange_handler`]: what consumers' agents call;
//! * [`bundles`]: which bundles are held;
//! * [`exchange`]: one accepted ticket, and [`serving`] what becomes of it;
//! * [`upstream`]: what serves the requests;
//! * [`response_log`]: a lane's last response.

mod bundles;
pub mod endpoint;
mod exchange;
pub mod exchange_handler;
pub mod open;
mod response_log;
mod serving;
pub mod upstream;
