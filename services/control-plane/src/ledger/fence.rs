//! What has to end when the database was restored to an earlier state: it no longer
//! knows which tickets are spent, so no bundle of that time may go on. Nobody stole
//! anything, so it is no collision: endpoints draw new bundles by themselves.

use armour_api::AuditEntry;
use armour_storage::{Actor, FenceSummary, LedgerAction, NewEvent, Tx};

use crate::{
    http::problem::ApiResult,
    ledger::disconnect::{Scope, cut},
    platform::instruments::METRICS,
};

/// Fences a tenant: ends its bundles, people's sessions and unused enrolment tokens.
/// `lost` says which entries are known to be lost, if somebody has shown any.
///
/// # Errors
/// If the database refuses.
pub async fn fence(
    tx: &mut Tx,
    actor: &Actor,
    reason: &str,
    lost: Option<u64>,
) -> ApiResult<AuditEntry> {
    let now = tx.now();
    let ended = cut(tx, Scope::All).await?;
    let bundles = ended.count();
    tx.enrolment_tokens().expire_unused(now).await?;
    let sessions = tx.sessions().end(&Default::default()).await?;
    let summary = FenceSummary {
        reason,
        bundles,
        sessions: sessions.len(),
        seen_of_the_lost_log: lost,
    };
    // Whoever reads events has the numbers of some that are lost.
    tx.events().begin_epoch().await?;
    tx.events().record(NewEvent::LedgerFenced(summary)).await?;
    let entry = tx
        .audit_log()
        .append(actor, LedgerAction::Fence(summary))
        .await?;
    tx.fences().create(entry.seq, entry.created_at).await?;
    // After it: whoever has seen few of the entries that are lost is to find that it kept fewer.
    ended.tell(tx, actor, reason).await?;
    METRICS.fences.add(1, &[]);
    Ok(entry)
}
