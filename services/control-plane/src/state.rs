//! What handlers share.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use armour_storage::{Keyring, StorageError, Store};
use chrono::{DateTime, Utc};
use rand::RngExt;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use crate::{
    auth::{Proofs, denial::Notes, signing::SigningKeys},
    config::{Config, read_secret},
    egress::Egress,
    gather::Gather,
    hub::Hub,
    ledger::Ledger,
    limits::{Flood, Rates},
    news::News,
    oidc::Providers,
    problem::{ApiError, ApiResult},
};

/// How long the database has to show that a call could be served.
const PATIENCE: Duration = Duration::from_millis(1500);

/// The service's state; cheap to clone.
#[derive(Clone)]
pub struct App {
    /// The database.
    pub store: Store,
    /// What it was started with.
    pub config: Arc<Config>,
    /// This process among the replicas.
    pub replica: Uuid,
    /// Cancelled when this replica is about to stop: it serves, but asks for no more.
    pub draining: CancellationToken,
    /// Cancelled when it stops: streams end, calls under way are finished.
    pub stopping: CancellationToken,
    pub(crate) platform_hash: [u8; 32],
    pub(crate) hub: Hub,
    pub(crate) ledger: Arc<Gather<Ledger>>,
    pub(crate) proofs: Arc<Gather<Proofs>>,
    pub(crate) news: Arc<Gather<News>>,
    /// When this process started, which streams count their looks from.
    pub(crate) started: Instant,
    pub(crate) flood: Arc<Flood>,
    pub(crate) rates: Arc<Rates>,
    pub(crate) notes: Arc<Notes>,
    pub(crate) signing: Arc<SigningKeys>,
    pub(crate) egress: Egress,
    pub(crate) providers: Arc<Providers>,
}

impl App {
    /// Reads keys, connects and, if asked to, migrates.
    ///
    /// # Errors
    /// If a key is missing, malformed or another than the database knows, the
    /// database cannot be reached, or its role is not bound by row-level security.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        let keyring = config.keyring()?;
        let file = config.platform_token_file.as_deref();
        let platform = read_secret(file.context("give --platform-token-file")?)?;
        if platform.len() < 32 {
            bail!("the platform token must have at least 32 characters");
        }
        let store = open(&config, keyring).await?;
        prepare(&store).await?;
        let stopping = CancellationToken::new();
        let draining = CancellationToken::new();
        Ok(Self {
            hub: Hub::start(store.clone(), stopping.clone()),
            ledger: Gather::new(Ledger::new(store.clone())),
            proofs: Gather::new(Proofs(store.clone())),
            news: Gather::new(News(store.clone())),
            started: Instant::now(),
            flood: Arc::new(Flood::new(config.rate_limit)),
            rates: Arc::default(),
            notes: Arc::default(),
            signing: Arc::default(),
            replica: Uuid::now_v7(),
            egress: Egress::new(&config.egress_allow)?,
            providers: Arc::default(),
            platform_hash: Sha256::digest(platform.as_bytes()).into(),
            config: Arc::new(config),
            store,
            draining,
            stopping,
        })
    }

    /// The time, the same for all replicas.
    pub fn now(&self) -> DateTime<Utc> {
        self.store.now()
    }

    /// Whether this replica can serve calls now.
    ///
    /// # Errors
    /// 503 `not-ready`, with what is missing.
    pub async fn ready(&self) -> ApiResult<()> {
        let not =
            |why: String| ApiError::new(http::StatusCode::SERVICE_UNAVAILABLE, "not-ready", why);
        if self.draining.is_cancelled() {
            return Err(not("this replica is being stopped".into()));
        }
        // Sooner than a probe gives up, and than the pool does.
        match tokio::time::timeout(PATIENCE, self.store.ready()).await {
            Ok(ready) => ready.map_err(|error| not(error.to_string())),
            Err(_) => Err(not(
                "no database that takes writes answers in time: it is away, or a standby".into(),
            )),
        }
    }

    /// Where the service is reached, if that was given.
    pub fn public_url(&self) -> Option<&Url> {
        self.config.public_url.as_ref()
    }

    /// Where the service is reached, given or not.
    ///
    /// # Errors
    /// If the address makes no URL; it always does.
    pub fn base_url(&self) -> Result<Url, url::ParseError> {
        match &self.config.public_url {
            Some(url) => Ok(url.clone()),
            None => {
                let Config { tls, listen, .. } = &*self.config;
                Url::parse(&format!("{}://{listen}/", tls.scheme()))
            }
        }
    }
}

/// Connects, waiting for a database that is not there or not migrated yet, and
/// migrates it if asked to.
///
/// # Errors
/// If it does not come up in time, or its role sees through row-level security.
pub async fn open(config: &Config, keyring: Keyring) -> anyhow::Result<Store> {
    let keyring = Arc::new(keyring);
    let deadline = Instant::now() + Duration::from_secs(config.database_wait_s.into());
    let store = until(deadline, async || {
        Store::connect(
            &config.database_url,
            config.database_connections,
            Duration::from_secs(5),
            keyring.clone(),
        )
        .await
    })
    .await
    .context("connect to the database")?;
    if !store.is_bound_by_rls().await? {
        bail!("the database role must not be a superuser nor bypass row-level security");
    }
    if config.migrate || config.migrate_only {
        store.migrate().await?;
    }
    until(deadline, async || {
        let missing = store.missing_migrations().await?;
        match missing.is_empty() {
            true => Ok(()),
            false => Err(StorageError::NotMigrated(missing)),
        }
    })
    .await
    .context("apply them with --migrate or --migrate-only")?;
    Ok(store)
}

/// Tries until it succeeds or the time is over. The pauses differ from replica to
/// replica, so that a database which comes up is not asked by all at once.
async fn until<T>(
    deadline: Instant,
    attempt: impl AsyncFn() -> Result<T, StorageError>,
) -> Result<T, StorageError> {
    let mut pause = Duration::from_millis(100);
    loop {
        match attempt().await {
            Err(error) if Instant::now() + pause < deadline => {
                tracing::warn!(%error, "waiting for the database");
                let share = rand::rng().random_range(0.5..1.0);
                tokio::time::sleep(pause.mul_f64(share)).await;
                pause = (pause * 2).min(Duration::from_secs(5));
            }
            done => return done,
        }
    }
}

/// What has to be in the database before the first call; any replica does it.
async fn prepare(store: &Store) -> anyhow::Result<()> {
    store
        .keep_audit_partitions(store.now().date_naive(), None)
        .await
        .context("make the audit log's partitions")?;
    store.agree_on_keys().await?;
    let mut tx = store.platform().await?;
    tx.signing_keys().lock().await?;
    let now = store.now();
    if tx.signing_keys().list_public(now).await?.is_empty() {
        let kid = crate::auth::signing::add(&mut tx, now)
            .await
            .map_err(|_| anyhow::anyhow!("make the first signing key"))?;
        tx.audit_log()
            .append(
                &armour_storage::Actor::Service,
                "signing-key.create",
                kid,
                serde_json::json!({}),
            )
            .await?;
    }
    tx.commit().await?;
    Ok(())
}
