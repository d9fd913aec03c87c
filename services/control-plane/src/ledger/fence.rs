//! What has to end when the database was restored to an earlier state: it no longer
//! knows which tickets are spent, so no bundle of that time may go on. Nobody stole
//! anything, so it is no collision: endpoints draw new bundles by themselves. If it lacks seconds
//! alone, as a standby does that took the place of the one before, endpoints still have what it
//! lacks: they tell it again, and bundles go on whose ends are both there.

use armour_api::AuditEntry;
use armour_storage::{Actor, FenceSummary, LedgerAction, NewEvent, Tx};
use chrono::{DateTime, Utc};

use crate::{
    http::problem::ApiResult,
    ledger::disconnect::{Scope, cut, cut_these},
    platform::instruments::METRICS,
};

/// What is lost of a ledger.
#[derive(Debug, Clone, Copy)]
pub enum Lost {
    /// Nobody has said what: everything ends.
    Unknown,
    /// The entries after this many, of a log whose last one was written then.
    Entries {
        /// How many entries somebody has seen.
        size: u64,
        /// When the last of them was written.
        at: DateTime<Utc>,
    },
}

/// How many seconds a standby may be behind: its bundles' ends have what it lacks still.
const SECONDS_BEHIND: f64 = 60.0;

/// Fences a tenant: ends its bundles, people's sessions and unused enrolment tokens. Of a database
/// that was seconds behind the one that is lost those bundles go on whose ends say that they do.
///
/// # Errors
/// If the database refuses.
pub async fn fence(tx: &mut Tx, actor: &Actor, reason: &str, lost: Lost) -> ApiResult<AuditEntry> {
    let now = tx.now();
    let is_behind = match lost {
        Lost::Unknown => false,
        Lost::Entries { at, .. } => tx.suspects().lacks_no_more_than(at, SECONDS_BEHIND).await?,
    };
    let (ended, suspect) = match is_behind {
        true => (
            cut_these(tx, &[]).await?,
            tx.suspects().mark_all(now).await?,
        ),
        false => (cut(tx, Scope::All).await?, 0),
    };
    // Whoever reads events has the numbers of some that are lost.
    tx.events().begin_epoch().await?;
    let bundles = ended.count();
    tx.enrolment_tokens().expire_unused(now).await?;
    let sessions = tx.sessions().end(&Default::default()).await?;
    ended.tell(tx, actor, reason).await?;
    let summary = FenceSummary {
        reason,
        bundles,
        suspect,
        sessions: sessions.len(),
        seen_of_the_lost_log: match lost {
            Lost::Unknown => None,
            Lost::Entries { size, .. } => Some(size),
        },
    };
    tx.events().record(NewEvent::LedgerFenced(summary)).await?;
    let entry = tx
        .audit_log()
        .append(actor, LedgerAction::Fence(summary))
        .await?;
    tx.fences().create(entry.seq, entry.created_at).await?;
    METRICS.fences.add(1, &[]);
    Ok(entry)
}
