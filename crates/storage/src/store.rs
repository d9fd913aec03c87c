//! The database, and how a transaction with it begins.

use std::{sync::Arc, time::Duration};

use armour_ambient::{Ambient, Random};
use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, PgConnection, PgPool, postgres::PgPoolOptions};
use uuid::Uuid;

use crate::{
    clock::DatabaseClock,
    error::Result,
    keyring::Keyring,
    tx::{PLATFORM, Tx},
};

/// Each statement is to see what was committed before it, whatever the server's default is:
/// what waits for a lock reads what its holder has changed.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// The database.
#[derive(Clone)]
pub struct Store {
    pub(crate) pool: PgPool,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) clock: DatabaseClock,
    pub(crate) ambient: Ambient,
}

impl Store {
    /// Connects; waits up to `wait` for a connection whenever one is needed.
    ///
    /// # Errors
    /// If the URL is wrong or the database cannot be reached.
    pub async fn connect(
        url: &str,
        connections: u32,
        wait: Duration,
        keyring: Arc<Keyring>,
        ambient: Ambient,
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
            clock: DatabaseClock::new(ambient.clock.clone()),
            ambient,
        };
        store.set_clock().await?;
        Ok(store)
    }

    /// Begins a transaction for a tenant.
    ///
    /// # Errors
    /// If no connection is to be had.
    pub async fn tenant(&self, tenant: Uuid) -> Result<Tx> {
        // One message instead of two. A UUID's text cannot end a literal.
        let begin = format!("{BEGIN}; SET LOCAL armour.tenant = '{tenant}'");
        self.begin(tenant, begin).await
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
        self.begin(PLATFORM, begin).await
    }

    async fn begin(&self, tenant: Uuid, begin: String) -> Result<Tx> {
        let inner = self.pool.begin_with(AssertSqlSafe(begin)).await?;
        Ok(Tx {
            inner,
            tenant,
            keyring: self.keyring.clone(),
            clock: self.clock.clone(),
            ambient: self.ambient.clone(),
            claim: None,
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
