//! Comes to a database that may not be there, or not be migrated, yet.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use armour_ambient::{Ambient, Random};
use armour_storage::{Keyring, StorageError, Store};
use rand::RngExt;
use tokio::time::Instant;

use crate::config::Config;

/// Connects, waiting for a database that is not there or not migrated yet, and
/// migrates it if asked to.
///
/// # Errors
/// If it does not come up in time, or its role sees through row-level security.
pub async fn open(config: &Config, keyring: Keyring, ambient: &Ambient) -> anyhow::Result<Store> {
    let keyring = Arc::new(keyring);
    let deadline = Instant::now() + Duration::from_secs(config.database_wait_s.into());
    let store = until(deadline, &ambient.random, async || {
        Store::connect(
            &config.database_url,
            config.database_connections,
            Duration::from_secs(5),
            keyring.clone(),
            ambient.clone(),
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
    until(deadline, &ambient.random, async || {
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
    random: &Random,
    attempt: impl AsyncFn() -> Result<T, StorageError>,
) -> Result<T, StorageError> {
    let mut pause = Duration::from_millis(100);
    loop {
        match attempt().await {
            Err(error) if Instant::now() + pause < deadline => {
                tracing::warn!(%error, "waiting for the database");
                let share = random.generator().random_range(0.5..1.0);
                tokio::time::sleep(pause.mul_f64(share)).await;
                pause = (pause * 2).min(Duration::from_secs(5));
            }
            done => return done,
        }
    }
}
