//! Seals every secret anew under another version of the master key.

use std::time::Duration;

use armour_storage::{Actor, PLATFORM, PlatformAction, Store};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{http::problem::ApiResult, jobs::Job};

/// Secrets sealed anew in one transaction.
const BATCH: i64 = 500;

/// Goes on with rotations.
pub fn job(store: Store, stopping: CancellationToken) -> Job {
    Job::new("rotation", Duration::from_secs(1), (store, stopping), run)
}

/// Goes on with a rotation that is not finished, if there is one and nobody else
/// is at it.
async fn run((store, stopping): (Store, CancellationToken)) -> ApiResult<()> {
    while !stopping.is_cancelled() && step(&store).await? {}
    Ok(())
}

/// One batch. Returns whether there is more to do.
///
/// The batch, the progress and the claim are one transaction: if we die it is undone
/// whole, and somebody else goes on from there.
async fn step(store: &Store) -> ApiResult<bool> {
    let mut tx = store.platform().await?;
    let Some((rotation, at)) = tx.rotations().claim().await? else {
        return Ok(false);
    };
    if !store.keyring().holds(rotation.to_version) {
        tracing::warn!(
            version = rotation.to_version,
            "rotation: this replica lacks the key"
        );
        return Ok(false);
    }
    tx.bind(at).await?;
    let done = tx.secrets().reseal(rotation.to_version, BATCH).await?;
    let left = tx.secrets().count_not_under(rotation.to_version).await?;
    tx.bind(PLATFORM).await?;
    let done = i64::try_from(done).unwrap_or(0);
    if left > 0 {
        tx.rotations().advance(rotation.id, at, done, false).await?;
        tx.commit().await?;
        // Nothing done, something left: it is being changed just now.
        return Ok(done > 0);
    }
    let next = tx.tenants().next_after(at).await?;
    let finished = next.is_none();
    tx.rotations()
        .advance(rotation.id, next.unwrap_or(at), done, finished)
        .await?;
    if finished {
        let action = PlatformAction::MasterKeyRotated {
            rotation: rotation.id,
            to_version: rotation.to_version,
        };
        tx.audit_log().append(&Actor::Service, action).await?;
        tracing::info!(version = rotation.to_version, "rotation finished");
    }
    tx.commit().await?;
    Ok(!finished)
}

/// Which secrets to count.
#[derive(Debug, Clone, Copy)]
pub enum Secrets {
    /// Those under a version.
    Under(i32),
    /// Those under any other.
    NotUnder(i32),
}

/// Counts secrets of the platform and all tenants.
///
/// # Errors
/// If the database does not answer.
pub async fn count(store: &Store, which: Secrets) -> ApiResult<i64> {
    let mut total = 0;
    let mut at: Option<Uuid> = Some(PLATFORM);
    while let Some(tenant) = at {
        let mut tx = store.tenant(tenant).await?;
        total += match which {
            Secrets::Under(version) => tx.secrets().count_under(version).await?,
            Secrets::NotUnder(version) => tx.secrets().count_not_under(version).await?,
        };
        drop(tx);
        at = store.next_tenant(tenant).await?;
    }
    Ok(total)
}
