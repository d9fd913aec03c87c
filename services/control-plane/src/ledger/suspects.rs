//! Bundles of before a fence that go on if both their ends say so: the database that is there now
//! was seconds behind the one that is lost. Their ends have what it lacks, and tell it again.

use armour_storage::{Actor, Store};
use chrono::Duration;
use uuid::Uuid;

use super::disconnect::cut_these;
use crate::http::problem::ApiResult;

/// How long ends have to say so. They keep what they have reported for as long.
const PATIENCE: Duration = Duration::minutes(5);
/// Most bundles of one transaction.
const BATCH: u16 = 500;

/// Ends those of a tenant's bundles of which an end has not said so in time. Returns whether that was
/// all.
///
/// # Errors
/// If the database refuses.
pub async fn end_unconfirmed(store: &Store, tenant: Uuid) -> ApiResult<bool> {
    let mut tx = store.tenant(tenant).await?;
    let before = tx.now() - PATIENCE;
    let due = tx.suspects().due(before, BATCH.into()).await?;
    if due.is_empty() {
        return Ok(true);
    }
    let ended = cut_these(&mut tx, &due).await?;
    tx.suspects().forget(&due).await?;
    let reason = "the database was seconds behind, and an end did not say that it goes on";
    ended.tell(&mut tx, &Actor::Service, reason).await?;
    tx.commit().await?;
    Ok(due.len() < usize::from(BATCH))
}
