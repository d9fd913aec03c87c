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
        let mut tx = self.platform().await?;
        let reads_only = sqlx::query_scalar!(r#"SELECT pg_is_in_recovery() AS "recovery!""#)
            .fetch_one(&mut *tx.inner)
            .await?;
        drop(tx);
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

    /// Asks the database for the time.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn set_clock(&self) -> Result<()> {
        let mut tx = self.platform().await?;
        let asked = self.clock.machine_time();
        let time = sqlx::query_scalar!(r#"SELECT clock_timestamp() AS "time!""#)
            .fetch_one(&mut *tx.inner)
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
        let pools = [&self.pool, &self.jobs];
        let idle: usize = pools.iter().map(|pool| pool.num_idle()).sum();
        let open = pools.iter().map(|pool| pool.size()).sum();
        (open, i64::try_from(idle).unwrap_or(i64::MAX))
    }
}
