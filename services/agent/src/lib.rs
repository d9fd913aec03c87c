//! Armour's endpoint: the proxy process and the enclave process.

mod backoff;
pub mod bhttp;
pub mod consumer;
mod draws;
mod durable;
pub mod enclave;
mod folder;
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
pub mod wire;

use anyhow::{Context as _, bail};
use tokio::process::Child;

use options::EnclaveHardening;

/// Starts the enclave on the keys of the data folder, and makes sure that it is shut off
/// as policy wants it.
async fn start_enclave(common: &options::Common) -> anyhow::Result<(enclave::Enclave, Child)> {
    let program = match &common.enclave_program {
        Some(program) => program.clone(),
        None => std::env::current_exe()?,
    };
    let (enclave, child) = enclave::Enclave::start(&program, &common.data_dir.join("keys"))
        .context("start the enclave")?;
    let hardening = enclave.hardening().await?;
    tracing::info!(in_force = ?hardening.in_force, "the enclave is shut off");
    for missing in &hardening.missing {
        tracing::warn!(missing, "THE ENCLAVE IS NOT SHUT OFF as it should be");
    }
    if common.enclave_hardening == EnclaveHardening::Require && !hardening.missing.is_empty() {
        bail!(
            "the enclave cannot be shut off here, and --enclave-hardening=require: {}",
            hardening.missing.join("; ")
        );
    }
    Ok((enclave, child))
}
