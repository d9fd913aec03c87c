//! Armour's endpoint: the proxy process and the enclave process.

mod backoff;
pub mod bhttp;
pub mod consumer;
mod draws;
mod folder;
mod gauges;
mod grant;
mod health;
mod http_client;
mod log;
mod metrics;
pub mod options;
mod problem;
pub mod producer;
mod reporter;
mod serve;
mod session;
mod settings;
mod start_enclave;
pub mod wire;
