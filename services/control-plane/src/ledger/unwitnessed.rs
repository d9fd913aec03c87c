//! Bundles whose producers do not report what their consumers do: somebody may stand between
//! a producer and the ledger, or answer in its place. People are told; nothing is cut.

use std::time::Duration;

use armour_storage::{Actor, LedgerAction, MissingWitness, NewEvent, PLATFORM, Store, Tx};
use uuid::Uuid;

use crate::{
    http::problem::ApiResult,
    jobs::{Job, acquire_lease},
};

/// Most bundles, and most lanes, of one transaction.
const BATCH: u16 = 500;

/// Looks for bundles whose producers are behind with their reports.
pub fn job(store: Store) -> Job {
    Job::new("unwitnessed", Duration::from_secs(5), store, find)
}

async fn find(store: Store) -> ApiResult<()> {
    if !acquire_lease(&store, "unwitnessed", 4.0).await? {
        return Ok(());
    }
    let mut at = PLATFORM;
    while let Some(tenant) = store.next_tenant(at).await? {
        at = tenant;
        while !look(&store, tenant).await? {}
    }
    Ok(())
}

/// Tells of the tenant's bundles, and takes back what is over; returns whether that was all.
async fn look(store: &Store, tenant: Uuid) -> ApiResult<bool> {
    let now = store.now();
    let mut tx = store.tenant(tenant).await?;
    let witnessed = tx.unwitnessed().unmark().await?;
    let ended = tx.unwitnessed().forget_ended(BATCH.into()).await?;
    let found = tx.unwitnessed().mark(now, BATCH.into()).await?;
    for row in &found {
        let witness = MissingWitness {
            producer_endpoint_id: row.producer,
            since: row.since,
        };
        tell(&mut tx, row.pair, row.bundle, witness).await?;
    }
    if witnessed + ended > 0 || !found.is_empty() {
        tx.commit().await?;
    }
    Ok(ended < u64::from(BATCH) && found.len() < usize::from(BATCH))
}

async fn tell(tx: &mut Tx, pair: Uuid, bundle: Uuid, witness: MissingWitness) -> ApiResult<()> {
    tx.events()
        .record(NewEvent::BundleUnwitnessed {
            pair,
            bundle,
            witness,
        })
        .await?;
    let action = LedgerAction::BundleUnwitnessed {
        id: bundle,
        witness,
    };
    tx.audit_log().append(&Actor::Service, action).await?;
    Ok(())
}
