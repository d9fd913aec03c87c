//! Endpoints that fell silent.

use std::time::Duration as StdDuration;

use armour_storage::{Actor, NewEvent, PLATFORM, PairingAction, Silence, Store};
use chrono::Duration;
use uuid::Uuid;

use crate::{
    http::problem::ApiResult,
    jobs::{Job, acquire_lease},
};

/// Of how many one transaction tells.
const BATCH: u16 = 500;

/// Looks for endpoints that were not heard of for so long.
pub fn job(store: Store, after: Duration) -> Job {
    let pause = StdDuration::from_secs(5);
    Job::new("lost-endpoints", pause, (store, after), find_lost)
}

/// Marks endpoints that were not heard of for too long, and tells of each once.
async fn find_lost((store, after): (Store, Duration)) -> ApiResult<()> {
    if !acquire_lease(&store, "lost-endpoints", 4.0).await? {
        return Ok(());
    }
    let mut at = PLATFORM;
    while let Some(tenant) = store.next_tenant(at).await? {
        at = tenant;
        while find_some(&store, tenant, after).await? == usize::from(BATCH) {}
    }
    Ok(())
}

/// Tells of some of a tenant's endpoints, in one transaction: a network that fails loses all of
/// them at once, and what is told stays told.
async fn find_some(store: &Store, tenant: Uuid, after: Duration) -> ApiResult<usize> {
    let mut tx = store.tenant(tenant).await?;
    // Of two replicas' updates of a row the second finds it marked.
    let since = store.now() - after;
    let lost = tx.endpoints().mark_lost(since, BATCH.into()).await?;
    let silences = lost.iter().map(|(endpoint, name)| {
        let silence = Silence {
            name,
            silent_for_s: after.num_seconds(),
        };
        (*endpoint, silence)
    });
    let events = silences
        .clone()
        .map(|(endpoint, silence)| NewEvent::EndpointLost { endpoint, silence });
    tx.events().record_all(events).await?;
    for (id, silence) in silences {
        let action = PairingAction::EndpointLost { id, silence };
        tx.audit_log().append(&Actor::Service, action).await?;
    }
    if !lost.is_empty() {
        tx.commit().await?;
    }
    Ok(lost.len())
}
