//! Receipts that a ticket names and that are not the recorded ones. Their consumers are asked
//! to show them; here it is decided what it means that they did not.

use std::time::Duration as StdDuration;

use armour_api::{CollisionKind, Role};
use armour_protocol::v2::{
    body::Kind,
    ledger::{Run, Testimony},
};
use armour_storage::{Actor, DueDispute, PLATFORM, Store, Tx};
use chrono::Duration;
use uuid::Uuid;

use super::{
    collision::{Found, record_collision},
    disconnect::{Scope, disconnect},
};
use crate::{
    http::problem::{ApiError, ApiResult},
    jobs::{Job, acquire_lease},
};

/// How long a consumer has to show a receipt, as long as it is heard of.
const PATIENCE: Duration = Duration::minutes(2);
/// Most disputes of one round of a tenant.
const BATCH: u16 = 500;

/// Decides disputes about receipts.
pub fn job(store: Store) -> Job {
    Job::new("receipt-disputes", StdDuration::from_secs(5), store, find)
}

async fn find(store: Store) -> ApiResult<()> {
    if !acquire_lease(&store, "receipt-disputes", 4.0).await? {
        return Ok(());
    }
    let mut at = PLATFORM;
    while let Some(tenant) = store.next_tenant(at).await? {
        at = tenant;
        let mut tx = store.tenant(tenant).await?;
        let closed = tx.receipt_disputes().close_ended(BATCH.into()).await?;
        let due = tx.receipt_disputes().due(PATIENCE, BATCH.into()).await?;
        if closed > 0 {
            tx.commit().await?;
        }
        // Each in a transaction of its own: each locks endpoints first.
        for dispute in due {
            let mut tx = store.tenant(tenant).await?;
            decide(&mut tx, &dispute).await?;
            tx.commit().await?;
        }
    }
    Ok(())
}

/// Ends the identity of a consumer that named a receipt and cannot show it. Of one that has
/// ended meanwhile nobody can tell which side was copied: then only the bundle ends.
async fn decide(tx: &mut Tx, due: &DueDispute) -> ApiResult<()> {
    let (bundle, lane) = due.dispute.lane;
    if due.has_ended {
        let scope = Scope::Bundle(bundle);
        disconnect(tx, &Actor::Service, scope, "foreign-receipt").await?;
    } else {
        let found = found(tx, due, bundle, lane).await?;
        record_collision(tx, &found).await?;
    }
    Ok(())
}

async fn found(tx: &mut Tx, due: &DueDispute, id: Uuid, lane: u16) -> ApiResult<Found> {
    let dispute = &due.dispute;
    let mut bundles = tx.bundles().find_many(&[id]).await?;
    let bundle = bundles.remove(&id);
    let bundle = bundle.ok_or_else(|| ApiError::internal("a dispute of no bundle"))?;
    let context = tx.context(id).await?;
    let run = Run::from_bytes(&dispute.run).map_err(ApiError::internal)?;
    let recorded = tx
        .tickets()
        .proven_from(&context, lane, dispute.n, Kind::Receipt)
        .await?;
    Ok(Found {
        endpoint: bundle.consumer,
        role: Role::Consumer,
        start: bundle.consumer_start,
        kind: CollisionKind::ForeignReceipt,
        n: dispute.n,
        recorded: recorded.map(|run| Testimony::Within(run).to_bytes()),
        reported: Some(Testimony::Within(run).to_bytes()),
        reporter: dispute.by,
        place: Some((bundle, lane)),
    })
}
