//! Whether the database can serve.

use chrono::Duration;

use crate::{
    error::{Result, StorageError},
    store::Store,
};

impl Store {
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
        let active = self.platform().await?.key_versions().active().await?;
        match self.keyring.holds(active) {
            true => Ok(()),
            false => Err(StorageError::NoKey(active)),
        }
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

    /// Asks the database for the time.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn set_clock(&self) -> Result<()> {
        let asked = self.clock.machine_time();
        let time = sqlx::query_scalar!(r#"SELECT clock_timestamp() AS "time!""#)
            .fetch_one(&self.pool)
            .await?;
        self.clock.set(asked, time, self.clock.machine_time());
        Ok(())
    }

    /// How far the database's clock is ahead of this machine's.
    pub fn clock_offset(&self) -> Duration {
        self.clock.offset()
    }

    /// Connections open, and how many of them nobody uses.
    pub fn connections(&self) -> (u32, i64) {
        let idle = i64::try_from(self.pool.num_idle()).unwrap_or(i64::MAX);
        (self.pool.size(), idle)
    }
}
