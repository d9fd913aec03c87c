//! Starts the enclave, as policy wants it.

use anyhow::{Context as _, bail};
use armour_enclave::Enclave;
use tokio::process::Child;

use crate::options::{EnclaveHardening, Options};

/// Starts the enclave on the keys of the data folder, and makes sure that it is shut off
/// as policy wants it.
///
/// # Errors
/// If it cannot be started, or is not shut off and policy wants it.
pub async fn start_enclave(options: &Options) -> anyhow::Result<(Enclave, Child)> {
    let program = match &options.enclave_program {
        Some(program) => program.clone(),
        None => std::env::current_exe()?,
    };
    let keys = options.data_dir.join("keys");
    let (enclave, child) = Enclave::start(&program, &keys, options.pin_file.as_deref())
        .context("start the enclave")?;
    let hardening = enclave.hardening().await?;
    tracing::info!(in_force = ?hardening.in_force, "the enclave is shut off");
    for missing in &hardening.missing {
        tracing::warn!(missing, "THE ENCLAVE IS NOT SHUT OFF as it should be");
    }
    if options.enclave_hardening == EnclaveHardening::Require && !hardening.missing.is_empty() {
        bail!(
            "the enclave cannot be shut off here, and --enclave-hardening=require: {}",
            hardening.missing.join("; ")
        );
    }
    Ok((enclave, child))
}
