//! A bundle as the control plane grants it, read and checked; and why there is none.

use std::time::Duration;

use anyhow::Context as _;
use armour_api::{BundleGrant, BundleState, Policy};
use armour_client::ClientError;
use armour_enclave::binding::Binding;
use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::VerifyingKey;
use thiserror::Error;
use uuid::Uuid;

/// A bundle's binding, keys and policy.
#[derive(Debug, Clone)]
pub struct Grant {
    /// What the bundle is bound to.
    pub binding: Binding,
    /// The consumer endpoint's key.
    pub consumer_key: VerifyingKey,
    /// The producer endpoint's key.
    pub producer_key: VerifyingKey,
    /// Where the producer is reached.
    pub producer_address: Option<String>,
    /// The pair's policy.
    pub policy: Policy,
    /// The bundle's state when it was granted.
    pub state: BundleState,
    /// The secret, sealed to this endpoint, if not yet acknowledged.
    pub sealed_secret: Option<Vec<u8>>,
}

/// Which bundle an endpoint asks for.
#[derive(Debug, Clone, Copy)]
pub enum Wanted {
    /// A new one of a pair.
    New {
        /// The pair.
        pair: Uuid,
    },
    /// One that was issued to its consumer.
    Known {
        /// The bundle.
        bundle: Uuid,
    },
}

/// Why there is no grant.
#[derive(Debug, Error)]
pub enum GrantError {
    /// The control plane refused or is out of reach.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The request's number cannot be kept.
    #[error("the data folder cannot be written: {0}")]
    Uncounted(std::io::Error),
    /// What it granted does not hold.
    #[error("the control plane's grant is not to be trusted: {0}")]
    Untrusted(String),
}

impl GrantError {
    /// Whether the log that vouches is not the one that was seen before.
    pub(crate) fn is_of_another_log(&self) -> bool {
        match self {
            Self::Client(error) => error.is("log-behind"),
            Self::Untrusted(_) => true,
            Self::Uncounted(_) => false,
        }
    }
}

impl TryFrom<BundleGrant> for Grant {
    type Error = anyhow::Error;

    fn try_from(grant: BundleGrant) -> anyhow::Result<Self> {
        let consumer_key = key(&grant.consumer_signing_key)?;
        let producer_key = key(&grant.producer_signing_key)?;
        let bundle = &grant.bundle;
        Ok(Self {
            binding: Binding {
                suite: bundle.suite,
                tenant: grant.tenant_id.into_bytes(),
                pair: bundle.pair_id.into_bytes(),
                bundle: bundle.id.into_bytes(),
                consumer: bundle.consumer_endpoint_id.into_bytes(),
                producer: bundle.producer_endpoint_id.into_bytes(),
                consumer_key: consumer_key.to_bytes(),
                producer_key: producer_key.to_bytes(),
            },
            consumer_key,
            producer_key,
            producer_address: grant.producer_address,
            policy: grant.policy,
            state: bundle.state,
            sealed_secret: grant
                .sealed_secret
                .map(|sealed| STANDARD.decode(sealed))
                .transpose()
                .context("sealed secret")?,
        })
    }
}

impl Grant {
    /// How long the agent may serve without hearing from the control plane.
    pub fn lease(&self) -> Duration {
        Duration::from_millis(self.policy.lease_ms.into())
    }
}

fn key(text: &str) -> anyhow::Result<VerifyingKey> {
    let bytes = STANDARD.decode(text).context("signing key")?;
    let bytes = bytes.try_into().ok().context("signing key")?;
    Ok(VerifyingKey::from_bytes(&bytes)?)
}
