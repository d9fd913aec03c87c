//! Armour's endpoint: the proxy process and the enclave process.

mod backoff;
pub mod bhttp;
pub mod consumer;
pub mod enclave;
mod grant;
mod health;
mod http_client;
mod log;
pub mod options;
mod problem;
pub mod producer;
mod reporter;
mod serve;
mod session;
pub mod wire;

use std::os::unix::fs::DirBuilderExt;

use anyhow::Context as _;
use tokio::process::Child;

/// Makes the data folder and starts the enclave on its keys.
fn start_enclave(common: &options::Common) -> anyhow::Result<(enclave::Enclave, Child)> {
    let mut folder = std::fs::DirBuilder::new();
    folder
        .recursive(true)
        .mode(0o700)
        .create(&common.data_dir)
        .with_context(|| format!("create {}", common.data_dir.display()))?;
    let program = std::env::current_exe()?;
    enclave::Enclave::start(&program, &common.data_dir.join("keys")).context("start the enclave")
}
