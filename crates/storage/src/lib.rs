//! Armour's PostgreSQL layer: every SQL statement lives here.
//!
//! A [`Store`] hands out transactions that are bound to one tenant by
//! row-level security: a statement that forgets its tenant sees nothing.

mod audit;
mod bundles;
mod clock;
mod collisions;
mod endpoints;
mod error;
mod events;
mod fences;
mod idempotency;
mod issuers;
pub mod keyring;
mod keys;
mod lanes;
mod ledger;
mod limits;
mod overview;
mod pairs;
mod parties;
mod secrets;
mod sessions;
mod tenants;
mod tokens;
mod turns;
mod webhooks;

pub use audit::{Actor, AuditFilter, retain_from};
pub use bundles::{BundleRow, NewBundle};
pub use clock::Clock;
pub use endpoints::NewEndpoint;
pub use error::{Result, StorageError};
pub use events::{EVENT_KINDS, EVENTS_CHANNEL, NewEvent};
pub use idempotency::Replay;
pub use issuers::client_secret;
pub use keyring::{Keyring, KeyringError};
pub use keys::PublicSigningKey;
pub use ledger::{LaneAdvance, LaneId, TicketRange, Witnessed, decode_ticket};
pub use limits::{Counted, RateLease};
pub use pairs::PairQuery;
pub use secrets::{bundle_secret, bundle_secrets};
pub use sessions::{NewSession, SessionRow, SessionScope, id_token};
pub use tokens::{NewToken, TokenRow};
pub use webhooks::{Attempt, DueDelivery};

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres, Transaction, postgres::PgPoolOptions};
use uuid::Uuid;

/// Most rows of one page.
pub const PAGE: i64 = 100;

/// Those that a later version has applied are none of ours: while an upgrade goes on,
/// or after it was given up, replicas of this version start all the same.
static MIGRATIONS: sqlx::migrate::Migrator = {
    let mut migrations = sqlx::migrate!("../../migrations");
    migrations.ignore_missing = true;
    migrations
};

/// The database.
#[derive(Clone)]
pub struct Store {
    pool: PgPool,
    keyring: Arc<Keyring>,
    clock: Clock,
}

/// A transaction that sees one tenant's rows, or with none the platform's.
pub struct Tx {
    inner: Transaction<'static, Postgres>,
    tenant: Uuid,
    keyring: Arc<Keyring>,
    clock: Clock,
}

/// The tenant that stands for the platform itself.
pub const PLATFORM: Uuid = Uuid::nil();

impl Store {
    /// Connects; waits up to `wait` for a connection whenever one is needed.
    ///
    /// # Errors
    /// If the URL is wrong or the database cannot be reached.
    pub async fn connect(
        url: &str,
        connections: u32,
        wait: std::time::Duration,
        keyring: Arc<Keyring>,
    ) -> Result<Self> {
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(wait)
            .after_connect(|connection, _| Box::pin(is_primary(connection)))
            .connect(url)
            .await?;
        let store = Self {
            pool,
            keyring,
            clock: Clock::default(),
        };
        store.set_clock().await?;
        Ok(store)
    }

    /// Applies the migrations that are missing.
    ///
    /// # Errors
    /// If one fails or an applied one was changed.
    pub async fn migrate(&self) -> Result<()> {
        MIGRATIONS
            .run(&self.pool)
            .await
            .map_err(StorageError::migration)
    }

    /// Numbers of the migrations that this program needs and the database lacks;
    /// later ones than it knows do it no harm.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn missing_migrations(&self) -> Result<Vec<i64>> {
        let exists = sqlx::query_scalar!(
            r#"SELECT to_regclass('_sqlx_migrations') IS NOT NULL AS "exists!""#
        )
        .fetch_one(&self.pool)
        .await?;
        let applied: Vec<i64> = match exists {
            false => Vec::new(),
            // Not known before the first migration, so not checked beforehand.
            true => {
                sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success")
                    .fetch_all(&self.pool)
                    .await?
            }
        };
        Ok(MIGRATIONS
            .iter()
            .map(|migration| migration.version)
            .filter(|version| !applied.contains(version))
            .collect())
    }

    /// Makes sure that calls can be served: the database answers and takes writes,
    /// has the migrations, and the active master key is loaded.
    ///
    /// # Errors
    /// What is not so.
    pub async fn ready(&self) -> Result<()> {
        let reads_only = sqlx::query_scalar!(r#"SELECT pg_is_in_recovery() AS "recovery!""#)
            .fetch_one(&self.pool)
            .await?;
        if reads_only {
            return Err(StorageError::ReadOnly);
        }
        let missing = self.missing_migrations().await?;
        if !missing.is_empty() {
            return Err(StorageError::NotMigrated(missing));
        }
        let active = self.platform().await?.active_key_version().await?;
        match self.keyring.holds(active) {
            true => Ok(()),
            false => Err(StorageError::NoKey(active)),
        }
    }

    /// The time, as the database has it.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// How far the database's clock is ahead of this machine's.
    pub fn clock_offset(&self) -> chrono::Duration {
        self.clock.offset()
    }

    /// Connections open, and how many of them nobody uses.
    pub fn connections(&self) -> (u32, i64) {
        let idle = i64::try_from(self.pool.num_idle()).unwrap_or(i64::MAX);
        (self.pool.size(), idle)
    }

    /// Asks the database for the time.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn set_clock(&self) -> Result<()> {
        let asked = Utc::now();
        let time = sqlx::query_scalar!(r#"SELECT clock_timestamp() AS "time!""#)
            .fetch_one(&self.pool)
            .await?;
        self.clock.set(asked, time, Utc::now());
        Ok(())
    }

    /// Whether the role in use is bound by row-level security.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn is_bound_by_rls(&self) -> Result<bool> {
        let row = sqlx::query!(
            r#"SELECT (rolsuper OR rolbypassrls) AS "bypass!" FROM pg_roles WHERE rolname = current_user"#
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(!row.bypass)
    }

    /// Begins a transaction for a tenant.
    ///
    /// # Errors
    /// If no connection is to be had.
    pub async fn tenant(&self, tenant: Uuid) -> Result<Tx> {
        // One message instead of two. A UUID's text cannot end a literal.
        let begin = format!("BEGIN; SET LOCAL armour.tenant = '{tenant}'");
        let inner = self.pool.begin_with(AssertSqlSafe(begin)).await?;
        Ok(Tx {
            inner,
            tenant,
            keyring: self.keyring.clone(),
            clock: self.clock.clone(),
        })
    }

    /// The master keys that are loaded.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Begins a transaction for the platform's administrators, who see that
    /// tenants exist, and of rows only the platform's own.
    ///
    /// # Errors
    /// If no connection is to be had.
    pub async fn platform(&self) -> Result<Tx> {
        let begin = format!(
            "BEGIN; SET LOCAL armour.tenant = '{PLATFORM}'; SET LOCAL armour.platform = 'on'"
        );
        let inner = self.pool.begin_with(AssertSqlSafe(begin)).await?;
        Ok(Tx {
            inner,
            tenant: PLATFORM,
            keyring: self.keyring.clone(),
            clock: self.clock.clone(),
        })
    }

    /// Listens for tenants that have new events.
    ///
    /// # Errors
    /// If no connection is to be had.
    pub async fn listen(&self) -> Result<sqlx::postgres::PgListener> {
        let mut listener = sqlx::postgres::PgListener::connect_with(&self.pool).await?;
        listener.listen(EVENTS_CHANNEL).await?;
        Ok(listener)
    }

    /// Closes all connections once their work is done.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

impl Tx {
    /// Makes the transaction's work durable.
    ///
    /// # Errors
    /// If the database refuses or does not answer.
    pub async fn commit(self) -> Result<()> {
        Ok(self.inner.commit().await?)
    }

    /// Undoes the transaction's work and lets go of its locks.
    ///
    /// # Errors
    /// If the database does not answer; then it is undone all the same.
    pub async fn rollback(self) -> Result<()> {
        Ok(self.inner.rollback().await?)
    }

    /// Binds a transaction of the platform's to a tenant instead.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn bind(&mut self, tenant: Uuid) -> Result<()> {
        sqlx::query!(
            "SELECT set_config('armour.tenant', $1, true)",
            tenant.to_string()
        )
        .fetch_one(&mut *self.inner)
        .await?;
        self.tenant = tenant;
        Ok(())
    }

    /// The time, the same for all replicas.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// The tenant the transaction is bound to.
    pub fn tenant_id(&self) -> Uuid {
        self.tenant
    }
}

/// Refuses a server that takes no writes, such as a standby or what was the primary:
/// the next attempt may reach the new one.
async fn is_primary(connection: &mut PgConnection) -> std::result::Result<(), sqlx::Error> {
    let reads_only = sqlx::query_scalar!(
        r#"SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean
           AS "reads_only!""#
    )
    .fetch_one(connection)
    .await?;
    match reads_only {
        true => Err(sqlx::Error::Io(std::io::Error::new(
            std::io::ErrorKind::ReadOnlyFilesystem,
            "the database server is a standby and takes no writes",
        ))),
        false => Ok(()),
    }
}

/// Cuts rows fetched with one more than a page into the page and its cursor.
fn page<T>(mut items: Vec<T>, cursor: impl Fn(&T) -> String) -> armour_api::Page<T> {
    let more = items.len() as i64 > PAGE;
    items.truncate(PAGE as usize);
    let next = if more { items.last().map(cursor) } else { None };
    armour_api::Page { items, next }
}

/// A pattern of `LIKE` for what has this text in it, whatever characters it has.
fn containing(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for c in text.chars() {
        if matches!(c, '\\' | '%' | '_') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}
