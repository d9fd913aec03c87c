//! How an agent becomes an endpoint, once.

use std::path::Path;

use anyhow::{Context as _, bail};
use armour_api::{Endpoint, Enrol, Role};
use armour_client::{Client, ClientError};
use armour_enclave::{
    Enclave,
    durable::{SHARED, write_whole},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::expected_tenant::ExpectedTenant;
use crate::{backoff::Backoff, options::Options, other_release, state::public_keys};

/// Who this agent is; kept in the data folder.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Identity {
    /// The endpoint.
    pub id: Uuid,
    /// Its tenant.
    pub tenant: Uuid,
    /// Its side.
    pub role: Role,
}

impl Identity {
    /// Nobody's.
    #[cfg(feature = "clone-demo")]
    pub const NOBODY: Self = Self {
        id: Uuid::nil(),
        tenant: Uuid::nil(),
        role: Role::Consumer,
    };

    /// Loads the identity; at the first start enrols. What the public keys are is told in the
    /// data folder before.
    ///
    /// # Errors
    /// If there is neither an identity nor a valid enrolment token, it is of the other role or
    /// of another tenant than the options say, or the data folder cannot be written.
    pub async fn open(
        options: &Options,
        role: Role,
        address: Option<&str>,
        enclave: &Enclave,
        base: &Client,
    ) -> anyhow::Result<Self> {
        let (signing_key, kem_key) = enclave.identity().await?;
        public_keys::publish(&options.data_dir, &signing_key, &kem_key)
            .context("write the public keys")?;
        let file = options.data_dir.join("endpoint.json");
        // Before an enrolment token is used up.
        let expected = ExpectedTenant::of(options)?;
        let identity: Self = if file.exists() {
            serde_json::from_slice(&std::fs::read(&file)?)
                .with_context(|| format!("read {}", file.display()))?
        } else {
            let identity = enrol(options, role, address, (&signing_key, &kem_key), base).await?;
            expected.check(identity.tenant)?;
            write_whole(&file, &serde_json::to_vec(&identity)?, SHARED)?;
            identity
        };
        expected.check(identity.tenant)?;
        if identity.role != role {
            bail!(
                "{} belongs to a {}: give another --data-dir",
                file.display(),
                identity.role.into_str()
            );
        }
        Ok(identity)
    }
}

async fn enrol(
    options: &Options,
    role: Role,
    address: Option<&str>,
    (signing_key, kem_key): (&[u8; 32], &[u8; 32]),
    base: &Client,
) -> anyhow::Result<Identity> {
    let enrol = Enrol {
        name: options.name.clone(),
        signing_key: STANDARD.encode(signing_key),
        kem_key: STANDARD.encode(kem_key),
        address: address.map(str::to_owned),
        version: other_release::version(env!("CARGO_PKG_VERSION")),
    };
    let mut backoff = Backoff::default();
    let endpoint = loop {
        match try_to_enrol(options, base, &enrol).await? {
            Ok(endpoint) => break endpoint,
            Err(error) if error.is_passing() => {
                tracing::warn!(%error, "cannot enrol yet");
                options
                    .progress
                    .waits_for(format!("its enrolment: {error}"));
                backoff.wait().await;
            }
            Err(error) => return Err(error).context("enrol"),
        }
    };
    tracing::info!(endpoint = %endpoint.id, "enrolled");
    Ok(Identity {
        id: endpoint.id,
        tenant: endpoint.tenant_id,
        role,
    })
}

async fn try_to_enrol(
    options: &Options,
    base: &Client,
    enrol: &Enrol,
) -> anyhow::Result<Result<Endpoint, ClientError>> {
    let read = |file: &Path| {
        let text = std::fs::read_to_string(file);
        text.with_context(|| format!("read {}", file.display()))
    };
    match (&options.enrol_token_file, &options.enrol_identity_file) {
        (Some(file), _) => {
            let client = base.with_token(read(file)?.trim());
            Ok(client.enrol(enrol).await)
        }
        (None, Some(file)) => {
            let client = base.with_token(read(file)?.trim());
            let tenant = options.tenant.context("give the tenant with --tenant")?;
            Ok(client.enrol_workload(tenant, enrol).await)
        }
        (None, None) => bail!(
            "not enrolled yet: give an enrolment token with --enrol-token-file, or the \
             workload's own with --enrol-identity-file"
        ),
    }
}
