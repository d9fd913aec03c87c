//! The end of bundles, and of pairs: whatever the reason, each with its event and its audit
//! entry.

use armour_api::PairState;
use armour_storage::{Actor, LedgerAction, NewEvent, Tx};
use uuid::Uuid;

use crate::{http::problem::ApiResult, platform::instruments::METRICS};

/// Which bundles to disconnect; what is given narrows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scope {
    /// Of this pair.
    pub pair: Option<Uuid>,
    /// Of this endpoint, on either side.
    pub endpoint: Option<Uuid>,
    /// This one.
    pub bundle: Option<Uuid>,
}

/// Disconnects bundles and, if the scope names it, their pair; each with its
/// event and audit entry.
///
/// # Errors
/// If the database refuses.
pub async fn disconnect(
    tx: &mut Tx,
    actor: &Actor,
    scope: Scope,
    reason: &str,
) -> ApiResult<Vec<Uuid>> {
    let bundles = tx
        .bundles()
        .disconnect(scope.pair, scope.endpoint, scope.bundle)
        .await?;
    METRICS.disconnects.add(bundles.len() as u64, &[]);
    for bundle in &bundles {
        let pair = tx.bundles().find(*bundle).await?.pair_id;
        tx.events()
            .record(NewEvent::BundleDisconnected {
                pair,
                bundle: *bundle,
                reason,
            })
            .await?;
        tx.audit_log()
            .append(
                actor,
                LedgerAction::BundleDisconnect {
                    id: *bundle,
                    reason,
                },
            )
            .await?;
    }
    if let Some(pair) = scope.pair
        && tx.pairs().set_state(pair, PairState::Disconnected).await?
    {
        tx.events()
            .record(NewEvent::PairDisconnected { pair, reason })
            .await?;
        tx.audit_log()
            .append(actor, LedgerAction::PairDisconnect { id: pair, reason })
            .await?;
    }
    Ok(bundles)
}
