//! Comes to a database that may not be there, or not be migrated, yet.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use armour_ambient::{Ambient, Random};
use armour_storage::{Keyring, Server, StorageError, Store};
use rand::RngExt;
use tokio::time::Instant;

use crate::database_options::DatabaseOptions;

/// Connects, waiting for a database that is not there or not migrated yet.
///
/// # Errors
/// If it does not come up in time, or the tenants are not kept apart there: the role could
/// change that, or its policies are not the migrations'.
pub async fn open(
    options: &DatabaseOptions,
    keyring: Keyring,
    ambient: &Ambient,
) -> anyhow::Result<Store> {
    let keyring = Arc::new(keyring);
    let deadline = Instant::now() + options.wait();
    let connections = options.connections()?;
    let store = until(deadline, &ambient.random, async || {
        Store::connect(&connections, keyring.clone(), ambient.clone()).await
    })
    .await
    .context("connect to the database")?;
    let faults = store.role_faults().await?;
    if !faults.is_empty() {
        bail!(
            "{}; the role that serves must not be able to change who sees what: give one that \
             owns nothing by --database-url, and the owner's by --database-owner-url to migrate \
             (docs/kubernetes.md, Database roles)",
            faults.join("; ")
        );
    }
    until(deadline, &ambient.random, async || {
        let missing = store.missing_migrations().await?;
        match missing.is_empty() {
            true => Ok(()),
            false => Err(StorageError::NotMigrated(missing)),
        }
    })
    .await
    .with_context(|| {
        let role = connections.server.role();
        format!(
            "apply them with --migrate or --migrate-only, which also let the role {role} read \
             which there are"
        )
    })?;
    let faults = store.policy_faults().await?;
    if !faults.is_empty() {
        bail!(
            "row-level security is not as the migrations define it: {}; undo what was changed, as \
             the role that owns the tables",
            faults.join("; ")
        );
    }
    refuse_pooler(
        &connections.direct,
        until_deadline(deadline),
        "events do not come through a pooler in transaction mode: give a URL without it by \
         --database-direct-url",
    )
    .await?;
    Ok(store)
}

/// Applies the migrations that are missing, and gives the role that serves its rights.
///
/// # Errors
/// If the database does not come up in time, or it cannot be done.
pub async fn migrate(options: &DatabaseOptions, ambient: &Ambient) -> anyhow::Result<()> {
    let deadline = Instant::now() + options.wait();
    let owner = options.owner()?;
    let serving = Server::parse(&options.database_url).context("--database-url")?;
    until(deadline, &ambient.random, async || owner.answers().await)
        .await
        .context("connect to the database as its owner")?;
    refuse_pooler(
        &owner,
        until_deadline(deadline),
        "migrations do not work through a pooler in transaction mode: give a URL without it by \
         --database-owner-url",
    )
    .await?;
    armour_storage::migrate(&owner, serving.role(), until_deadline(deadline)).await?;
    Ok(())
}

async fn refuse_pooler(server: &Server, wait: Duration, why: &str) -> anyhow::Result<()> {
    let asked = tokio::time::timeout(wait.max(Duration::from_secs(10)), server.is_pooled());
    match asked.await.context("ask whether a pooler is between")?? {
        true => bail!("{server}: {why}"),
        false => Ok(()),
    }
}

fn until_deadline(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
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
            Err(error) if may_pass(&error) && Instant::now() + pause < deadline => {
                tracing::warn!(%error, "waiting for the database");
                let share = random.generator().random_range(0.5..1.0);
                tokio::time::sleep(pause.mul_f64(share)).await;
                pause = (pause * 2).min(Duration::from_secs(5));
            }
            done => return done,
        }
    }
}

/// Whether waiting may help.
fn may_pass(error: &StorageError) -> bool {
    !matches!(error, StorageError::Url(_) | StorageError::Unfit(_))
}
