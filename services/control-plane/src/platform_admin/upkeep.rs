//! What nobody needs any more goes, and signing keys are replaced in time.

use std::{sync::Arc, time::Duration as StdDuration};

use armour_storage::{Actor, PLATFORM, PlatformAction, Store, retain_from};
use chrono::Duration;

use crate::{
    http::problem::ApiResult,
    identity::authn::signing,
    jobs::{Job, acquire_lease},
};

/// How long things are kept.
pub struct Upkeep {
    /// The database.
    pub store: Store,
    /// Days that audit entries are kept; for ever if absent.
    pub audit_retention_days: Option<u32>,
    /// How long a session may be idle.
    pub session_idle: Duration,
    /// Days after which a signing key is replaced.
    pub signing_key_days: u32,
}

/// Keeps the database tidy.
pub fn job(upkeep: Upkeep) -> Job {
    Job::new("upkeep", StdDuration::from_secs(60), Arc::new(upkeep), run)
}

/// Sweeps each tenant, gives its log a map if it is from before there were maps, keeps the audit
/// log's partitions, replaces old signing keys, counts what was not counted, forgets the names of
/// tenants that were deleted.
async fn run(upkeep: Arc<Upkeep>) -> ApiResult<()> {
    let store = &upkeep.store;
    if !acquire_lease(store, "upkeep", 50.0).await? {
        return Ok(());
    }
    let now = store.now();
    let retain = upkeep.audit_retention_days;
    let retain = retain.map(|days| retain_from(now, days));
    let dropped = store
        .keep_audit_partitions(now.date_naive(), retain)
        .await?;
    if dropped > 0 {
        let mut tx = store.platform().await?;
        let action = PlatformAction::AuditRetain {
            months: dropped,
            before: retain,
        };
        tx.audit_log().append(&Actor::Service, action).await?;
        tx.commit().await?;
    }
    sign_with_a_fresh_key(&upkeep).await?;
    let mut at = Some(PLATFORM);
    while let Some(tenant) = at {
        let mut tx = store.tenant(tenant).await?;
        tx.sweep(now, now - upkeep.session_idle).await?;
        tx.endpoint_map().begin().await?;
        tx.commit().await?;
        let mut tx = store.tenant(tenant).await?;
        tx.count_exchanges().await?;
        tx.commit().await?;
        at = store.next_tenant(tenant).await?;
    }
    while store.forget_deleted().await? {}
    Ok(())
}

async fn sign_with_a_fresh_key(upkeep: &Upkeep) -> ApiResult<()> {
    let store = &upkeep.store;
    let now = store.now();
    let mut tx = store.platform().await?;
    // Of several replicas one makes it; the others then see it.
    tx.signing_keys().lock().await?;
    let keys = tx.signing_keys().list_public(now).await?;
    let life = Duration::days(upkeep.signing_key_days.into());
    if keys.first().is_none_or(|key| key.activates_at + life < now) {
        signing::add(&mut tx, &Actor::Service, Some("the earlier one is old")).await?;
    }
    let gone = tx.signing_keys().delete_retired(now).await?;
    let names: Vec<String> = gone.iter().map(|kid| signing::secret(kid)).collect();
    tx.secrets().erase(&names).await?;
    tx.commit().await?;
    Ok(())
}
