//! Certificates on their way to the control plane, which gives them to the endpoints' peers.

use std::collections::HashMap;

use anyhow::Context as _;
use armour_client::Client;
use armour_protocol::v2::identity::certificate::Certificate;
use uuid::Uuid;

use super::encoding::to_base64;

/// What the control plane was given by this process: it is given each once.
#[derive(Debug, Default)]
pub(super) struct Uploads(HashMap<Uuid, Vec<u8>>);

impl Uploads {
    /// Gives the control plane an endpoint's certificate, unless it has it from here.
    ///
    /// # Errors
    /// If it does not take it; then it is given it again at the next look.
    pub(super) async fn give(
        &mut self,
        client: &Client,
        endpoint: Uuid,
        certificate: &Certificate,
    ) -> anyhow::Result<()> {
        let bytes = certificate.to_bytes();
        if self.0.get(&endpoint) == Some(&bytes) {
            return Ok(());
        }
        client
            .set_certificate(endpoint, &to_base64(&bytes))
            .await
            .context("certified, but the control plane does not take the certificate")?;
        self.0.insert(endpoint, bytes);
        Ok(())
    }
}
