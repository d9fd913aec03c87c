//! Endpoints that fell silent, and what nobody needs any more.

use armour_storage::{Actor, NewEvent, PLATFORM, retain_from};
use chrono::Duration;
use serde_json::json;

use crate::{auth::signing, problem::ApiResult, state::App};

/// Marks endpoints that were not heard of for too long, and tells of each once.
pub async fn find_lost(app: App) -> ApiResult<()> {
    if !has_turn(&app, "lost-endpoints", 4.0).await? {
        return Ok(());
    }
    let after = Duration::seconds(app.config.endpoint_lost_after_s.into());
    let mut at = PLATFORM;
    while let Some(tenant) = app.store.platform().await?.tenants().next_after(at).await? {
        at = tenant;
        let mut tx = app.store.tenant(tenant).await?;
        // Of two replicas' updates of a row the second finds it marked.
        let lost = tx.endpoints().mark_lost(app.now() - after).await?;
        for (endpoint, name) in &lost {
            let detail = json!({ "name": name, "silent_for_s": after.num_seconds() });
            tx.events()
                .record(&NewEvent {
                    kind: "endpoint.lost",
                    endpoint: Some(*endpoint),
                    detail: detail.clone(),
                    ..NewEvent::default()
                })
                .await?;
            tx.audit_log()
                .append(&Actor::Service, "endpoint.lost", endpoint, detail)
                .await?;
        }
        if !lost.is_empty() {
            tx.commit().await?;
        }
    }
    Ok(())
}

/// Whether this replica is to walk the tenants this time.
async fn has_turn(app: &App, name: &str, seconds: f64) -> ApiResult<bool> {
    let mut tx = app.store.platform().await?;
    let taken = tx.job_leases().acquire(name, seconds).await?;
    tx.commit().await?;
    Ok(taken)
}

/// Says that this replica is there, and looks at the database's clock.
pub async fn be_present(app: App) -> ApiResult<()> {
    app.store.set_clock().await?;
    let mut tx = app.store.platform().await?;
    tx.replicas()
        .touch(app.replica, env!("CARGO_PKG_VERSION"))
        .await?;
    tx.commit().await?;
    Ok(())
}

/// Sweeps each tenant, keeps the audit log's partitions, replaces old signing keys.
pub async fn run(app: App) -> ApiResult<()> {
    if !has_turn(&app, "upkeep", 50.0).await? {
        return Ok(());
    }
    let now = app.now();
    let retain = app.config.audit_retention_days;
    let retain = retain.map(|days| retain_from(now, days));
    let dropped = app
        .store
        .keep_audit_partitions(now.date_naive(), retain)
        .await?;
    if dropped > 0 {
        let mut tx = app.store.platform().await?;
        let detail = json!({ "months": dropped, "before": retain });
        tx.audit_log()
            .append(&Actor::Service, "audit.retain", "audit", detail)
            .await?;
        tx.commit().await?;
    }
    sign_with_a_fresh_key(&app).await?;
    let mut at = Some(PLATFORM);
    while let Some(tenant) = at {
        let mut tx = app.store.tenant(tenant).await?;
        tx.sweep(now, now - app.config.session_idle()).await?;
        tx.commit().await?;
        at = app
            .store
            .platform()
            .await?
            .tenants()
            .next_after(tenant)
            .await?;
    }
    Ok(())
}

async fn sign_with_a_fresh_key(app: &App) -> ApiResult<()> {
    let now = app.now();
    let mut tx = app.store.platform().await?;
    // Of several replicas one makes it; the others then see it.
    tx.signing_keys().lock().await?;
    let keys = tx.signing_keys().list_public(now).await?;
    let life = Duration::days(app.config.signing_key_days.into());
    if keys.first().is_none_or(|key| key.activates_at + life < now) {
        let kid = signing::add(&mut tx, now).await?;
        let detail = json!({ "because": "the earlier one is old" });
        tx.audit_log()
            .append(&Actor::Service, "signing-key.create", kid, detail)
            .await?;
    }
    let gone = tx.signing_keys().delete_retired(now).await?;
    let names: Vec<String> = gone.iter().map(|kid| signing::secret(kid)).collect();
    tx.secrets().erase(&names).await?;
    tx.commit().await?;
    Ok(())
}
