//! How PostgreSQL is reached, as on the command line.

use std::time::Duration;

use anyhow::Context as _;
use armour_storage::{Connections, Limits, Server};
use clap::Args;

/// How PostgreSQL is reached.
#[derive(Debug, Clone, Args)]
pub struct DatabaseOptions {
    /// PostgreSQL, for the role that serves: row-level security binds it, and it owns nothing.
    /// Elsewhere than on this machine TLS is needed, unless the URL says sslmode=disable.
    #[arg(long, env = "ARMOUR_DATABASE_URL", hide_env_values = true)]
    pub database_url: String,
    /// The same for the role that owns the database, which migrations are applied as;
    /// not through a pooler.
    #[arg(long, env = "ARMOUR_DATABASE_OWNER_URL", hide_env_values = true)]
    pub database_owner_url: Option<String>,
    /// The same database without a pooler between, for the role that serves: where events are
    /// listened for. `--database-url` if absent.
    #[arg(long, env = "ARMOUR_DATABASE_DIRECT_URL", hide_env_values = true)]
    pub database_direct_url: Option<String>,
    /// Most database connections, besides one that announces events: one listens for events, a
    /// quarter is for background work.
    #[arg(long, env = "ARMOUR_DATABASE_CONNECTIONS", default_value_t = 16,
          value_parser = clap::value_parser!(u32).range(3..))]
    pub database_connections: u32,
    /// Seconds to wait at the start for the database and its migrations.
    #[arg(long, env = "ARMOUR_DATABASE_WAIT", default_value_t = 60)]
    pub database_wait_s: u32,
    /// Milliseconds that a call waits for a connection, and for those of its tenant's calls
    /// that came before it.
    #[arg(long, env = "ARMOUR_DATABASE_POOL_WAIT_MS", default_value_t = 5000)]
    pub database_pool_wait_ms: u32,
    /// Milliseconds after which PostgreSQL ends a call's statement.
    #[arg(
        long,
        env = "ARMOUR_DATABASE_STATEMENT_TIMEOUT_MS",
        default_value_t = 30_000
    )]
    pub database_statement_timeout_ms: u32,
    /// Milliseconds that a statement waits for a lock.
    #[arg(long, env = "ARMOUR_DATABASE_LOCK_TIMEOUT_MS", default_value_t = 5000)]
    pub database_lock_timeout_ms: u32,
    /// Milliseconds after which PostgreSQL ends a transaction in which nothing is done.
    #[arg(
        long,
        env = "ARMOUR_DATABASE_IDLE_TIMEOUT_MS",
        default_value_t = 60_000
    )]
    pub database_idle_timeout_ms: u32,
    /// Statements that each connection keeps prepared; 0 behind PgBouncer before 1.21.
    #[arg(
        long,
        env = "ARMOUR_DATABASE_PREPARED_STATEMENTS",
        default_value_t = 100
    )]
    pub database_prepared_statements: u32,
}

impl DatabaseOptions {
    /// Whom the role that serves connects as, and how.
    ///
    /// # Errors
    /// If a URL cannot be used.
    pub fn connections(&self) -> anyhow::Result<Connections> {
        let server = Server::parse(&self.database_url).context("--database-url")?;
        let direct = match &self.database_direct_url {
            Some(url) => Server::parse(url).context("--database-direct-url")?,
            None => server.clone(),
        };
        let ms = |limit: u32| Duration::from_millis(limit.into());
        Ok(Connections {
            direct,
            most: self.database_connections,
            wait: ms(self.database_pool_wait_ms),
            limits: Limits {
                statement: ms(self.database_statement_timeout_ms),
                lock: ms(self.database_lock_timeout_ms),
                idle: ms(self.database_idle_timeout_ms),
            },
            prepared: usize::try_from(self.database_prepared_statements)?,
            ..Connections::new(server)
        })
    }

    /// Whom migrations are applied as.
    ///
    /// # Errors
    /// If nobody is given, or the URL cannot be used.
    pub fn owner(&self) -> anyhow::Result<Server> {
        let url = self.database_owner_url.as_deref();
        let url = url.context(
            "migrations are applied as the role that owns the database: give \
             --database-owner-url; the role of --database-url serves, and owns nothing",
        )?;
        Server::parse(url).context("--database-owner-url")
    }

    /// How long to wait at the start.
    pub fn wait(&self) -> Duration {
        Duration::from_secs(self.database_wait_s.into())
    }
}
