//! The database, and how a transaction with it begins.

use std::{collections::BTreeSet, sync::Arc};

use armour_ambient::{Ambient, Random};
use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool, postgres::PgPoolOptions};
use uuid::Uuid;

use crate::{
    clock::DatabaseClock,
    connections::{Connections, Server},
    error::Result,
    fit,
    keyring::Keyring,
    news::News,
    shares::{Share, Shares, Urgency},
    tx::{PLATFORM, Tx},
};

/// Each statement is to see what was committed before it, whatever the server's default is:
/// what waits for a lock reads what its holder has changed.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// In whose share those are who have not proved yet which tenant's they are.
const ANYBODY: Uuid = Uuid::nil();

/// The database.
#[derive(Clone)]
pub struct Store {
    pub(crate) pool: PgPool,
    /// Of background work, which calls do not wait for.
    pub(crate) jobs: PgPool,
    /// Where notices are listened for, and announcements are made.
    pub(crate) direct: Server,
    settings: Arc<str>,
    settings_of_jobs: Arc<str>,
    shares: Shares,
    /// What is to be announced.
    pub(crate) news: Arc<News>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) clock: DatabaseClock,
    pub(crate) ambient: Ambient,
}

impl Store {
    /// Connects.
    ///
    /// # Errors
    /// If the database cannot be reached, or is none that can serve.
    pub async fn connect(
        to: &Connections,
        keyring: Arc<Keyring>,
        ambient: Ambient,
    ) -> Result<Self> {
        // Alone first: a pool does not tell why it has none.
        let mut first = to.server.connect("armour start").await?;
        fit::check(&mut first, to.most).await?;
        first.close().await?;
        let (jobs, calls) = to.shares();
        let store = Self {
            pool: pool(to, "armour calls", calls),
            jobs: pool(to, "armour jobs", jobs),
            direct: to.direct.clone(),
            settings: to.limits.statements().into(),
            settings_of_jobs: to.limits.of_jobs().statements().into(),
            shares: Shares::new(calls, to.wait),
            news: Arc::default(),
            keyring,
            clock: DatabaseClock::new(ambient.clock.clone()),
            ambient,
        };
        store.set_clock().await?;
        Ok(store)
    }

    /// The same database for background work: on connections of its own, so that neither waits
    /// for the other, and with more time for a statement.
    pub fn for_jobs(&self) -> Self {
        Self {
            pool: self.jobs.clone(),
            settings: self.settings_of_jobs.clone(),
            shares: Shares::none(),
            ..self.clone()
        }
    }

    /// Begins a transaction for a tenant, within its share of connections. Nobody begins one
    /// while another of the tenant's is held: with its share held by calls that wait for more
    /// of it, none would go on.
    ///
    /// # Errors
    /// If no connection is to be had.
    pub async fn tenant(&self, tenant: Uuid) -> Result<Tx> {
        self.tenant_for(tenant, Urgency::Members).await
    }

    /// Also, before what is less urgent.
    ///
    /// # Errors
    /// If no connection is to be had.
    pub async fn tenant_for(&self, tenant: Uuid, urgency: Urgency) -> Result<Tx> {
        let share = self.shares.take(tenant, urgency).await?;
        self.begin_for(tenant, share).await
    }

    /// Begins a transaction for somebody who only says which tenant's they are: within the share
    /// that all such callers have together, so that none of them takes a tenant's own. What could be
    /// a sign of life goes before what could be a sign-in.
    ///
    /// # Errors
    /// If no connection is to be had.
    pub async fn tenant_unproven(&self, tenant: Uuid, urgency: Urgency) -> Result<Tx> {
        let share = self.shares.take(ANYBODY, urgency).await?;
        self.begin_for(tenant, share).await
    }

    async fn begin_for(&self, tenant: Uuid, share: Option<Share>) -> Result<Tx> {
        // One message instead of two. A UUID's text cannot end a literal.
        let begin = format!("{BEGIN}; SET LOCAL armour.tenant = '{tenant}'");
        self.begin(tenant, begin, share).await
    }

    /// Begins a transaction for the platform's administrators, who see that
    /// tenants exist, and of rows only the platform's own.
    ///
    /// # Errors
    /// If no connection is to be had.
    pub async fn platform(&self) -> Result<Tx> {
        let begin = format!(
            "{BEGIN}; SET LOCAL armour.tenant = '{PLATFORM}'; SET LOCAL armour.platform = 'on'"
        );
        self.begin(PLATFORM, begin, None).await
    }

    async fn begin(&self, tenant: Uuid, begin: String, share: Option<Share>) -> Result<Tx> {
        let begin = begin + &self.settings;
        let inner = self.pool.begin_with(AssertSqlSafe(begin)).await?;
        Ok(Tx {
            inner,
            tenant,
            keyring: self.keyring.clone(),
            clock: self.clock.clone(),
            ambient: self.ambient.clone(),
            claim: None,
            seals_under: None,
            with_events: BTreeSet::new(),
            news: self.news.clone(),
            _share: share,
        })
    }

    /// The time, as the database has it.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// An id that sorts after those made before it.
    pub fn new_id(&self) -> Uuid {
        self.ambient.id()
    }

    /// Random bytes.
    pub fn random(&self) -> &Random {
        &self.ambient.random
    }

    /// The master keys that are loaded.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Closes all connections once their work is done.
    pub async fn close(&self) {
        self.pool.close().await;
        self.jobs.close().await;
    }
}

/// Connections of one kind, made as they are needed.
fn pool(to: &Connections, name: &str, most: u32) -> PgPool {
    let options = to.server.named(name);
    PgPoolOptions::new()
        .max_connections(most)
        .acquire_timeout(to.wait)
        .after_connect(|connection, _| Box::pin(is_primary(connection)))
        .connect_lazy_with(options.statement_cache_capacity(to.prepared))
}

/// Refuses a server that takes no writes, such as a standby or what was the primary:
/// the next attempt may reach the new one.
async fn is_primary(connection: &mut PgConnection) -> std::result::Result<(), sqlx::Error> {
    // In a transaction: a pooler may give what is not to another server.
    let mut tx = connection.begin().await?;
    let reads_only = sqlx::query_scalar!(
        r#"SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean
           AS "reads_only!""#
    )
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    match reads_only {
        true => Err(sqlx::Error::Io(std::io::Error::new(
            std::io::ErrorKind::ReadOnlyFilesystem,
            "the database server is a standby and takes no writes",
        ))),
        false => Ok(()),
    }
}
