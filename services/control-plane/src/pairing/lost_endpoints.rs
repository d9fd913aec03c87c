//! Endpoints that fell silent.

use std::time::Duration as StdDuration;

use armour_storage::{Actor, NewEvent, PLATFORM, PairingAction, Silence, Store};
use chrono::Duration;

use crate::{
    http::problem::ApiResult,
    jobs::{Job, acquire_lease},
};

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
    while let Some(tenant) = store.platform().await?.tenants().next_after(at).await? {
        at = tenant;
        let mut tx = store.tenant(tenant).await?;
        // Of two replicas' updates of a row the second finds it marked.
        let lost = tx.endpoints().mark_lost(store.now() - after).await?;
        for (endpoint, name) in &lost {
            let silence = Silence {
                name,
                silent_for_s: after.num_seconds(),
            };
            tx.events()
                .record(NewEvent::EndpointLost {
                    endpoint: *endpoint,
                    silence,
                })
                .await?;
            tx.audit_log()
                .append(
                    &Actor::Service,
                    PairingAction::EndpointLost {
                        id: *endpoint,
                        silence,
                    },
                )
                .await?;
        }
        if !lost.is_empty() {
            tx.commit().await?;
        }
    }
    Ok(())
}
