//! How programs start an endpoint.

use std::path::PathBuf;

use anyhow::ensure;

use crate::{client::Consumer, entry, layer::Producer, options::Options};

/// Who an endpoint is, and whom it belongs to.
#[derive(Debug, Clone)]
pub struct Settings {
    options: Options,
}

impl Settings {
    /// An endpoint of the control plane at this address, which keeps its keys and its
    /// identity in this folder. One process at a time may use a folder.
    pub fn new(control_plane: impl Into<String>, data_dir: impl Into<PathBuf>) -> Self {
        Self {
            options: Options::new(control_plane.into(), data_dir.into()),
        }
    }

    /// File of a one-use enrolment token; needed at the first start only.
    #[must_use]
    pub fn enrol_token_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.options.enrol_token_file = Some(file.into());
        self
    }

    /// The endpoint's name.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.options.name = name.into();
        self
    }

    /// A key of the tenant's audit log, present or earlier, 32 bytes in base64; without it
    /// the one that the control plane tells first is taken and kept.
    #[must_use]
    pub fn log_key(mut self, key: impl Into<String>) -> Self {
        self.options.log_key = Some(key.into());
        self
    }

    /// PEM file of certificates that are trusted besides the system's authorities.
    #[must_use]
    pub fn tls_ca_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.options.tls_ca_file = Some(file.into());
        self
    }

    /// JSON file of parties' keys that are pinned: bundles then need the certificate of a party
    /// that is pinned, in their pair where a pin names it.
    #[must_use]
    pub fn pin_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.options.pin_file = Some(file.into());
        self
    }

    /// Runs this `armour-agent` as the enclave in place of this program.
    #[must_use]
    pub fn enclave_program(mut self, program: impl Into<PathBuf>) -> Self {
        self.options.enclave_program = Some(program.into());
        self
    }

    /// All that an agent may be told.
    pub fn options(&mut self) -> &mut Options {
        &mut self.options
    }

    /// Starts as a consumer: enrols if need be, then keeps in touch with the control plane.
    ///
    /// # Errors
    /// If it cannot enrol, its folder cannot be used, or there is no enclave.
    pub async fn consumer(self) -> anyhow::Result<Consumer> {
        self.check()?;
        Consumer::open(&self.options).await
    }

    /// Starts as a producer that consumers reach at this address.
    ///
    /// # Errors
    /// As [`Settings::consumer`].
    pub async fn producer(self, address: impl Into<String>) -> anyhow::Result<Producer> {
        self.check()?;
        Producer::open(&self.options, address.into()).await
    }

    fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.options.enclave_program.is_some() || entry::was_called(),
            "call armour_endpoint::enclave() first in main, or name an enclave_program"
        );
        Ok(())
    }
}
