//! What handlers share.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use armour_storage::Store;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::{config::Config, hub::Hub, limits::Limiter, vault::Vault};

/// The service's state; cheap to clone.
#[derive(Clone)]
pub struct App {
    /// The database.
    pub store: Store,
    /// What it was started with.
    pub config: Arc<Config>,
    /// Wraps secrets at rest.
    pub vault: Arc<Vault>,
    /// Cancelled when the service drains, so that streams end.
    pub stopping: CancellationToken,
    pub(crate) platform_hash: [u8; 32],
    pub(crate) hub: Hub,
    pub(crate) limiter: Arc<Limiter>,
}

impl App {
    /// Reads keys, connects and, if asked to, migrates.
    ///
    /// # Errors
    /// If a key is missing or malformed, the database cannot be reached, or its
    /// role is not bound by row-level security.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        let master = read_secret(&config.master_key_file)?;
        let vault = Vault::new(config.master_key_version, &master)
            .context("the master key must be 64 hexadecimal digits")?;
        let platform = read_secret(&config.platform_token_file)?;
        if platform.len() < 32 {
            bail!("the platform token must have at least 32 characters");
        }
        let store = Store::connect(
            &config.database_url,
            config.database_connections,
            Duration::from_secs(5),
        )
        .await
        .context("connect to the database")?;
        if !store.is_bound_by_rls().await? {
            bail!("the database role must not be a superuser nor bypass row-level security");
        }
        if config.migrate {
            store.migrate().await?;
        }
        let stopping = CancellationToken::new();
        Ok(Self {
            hub: Hub::start(store.clone(), stopping.clone()),
            limiter: Arc::new(Limiter::new(config.rate_limit)),
            platform_hash: Sha256::digest(platform.as_bytes()).into(),
            vault: Arc::new(vault),
            config: Arc::new(config),
            store,
            stopping,
        })
    }
}

fn read_secret(path: &std::path::Path) -> anyhow::Result<Zeroizing<String>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let text = Zeroizing::new(text);
    Ok(Zeroizing::new(text.trim().to_owned()))
}
