//! The end of bundles, and of pairs: whatever the reason, with events and audit entries.

use armour_api::PairState;
use armour_storage::{Actor, LedgerAction, NewEvent, Tx};
use uuid::Uuid;

use crate::{http::problem::ApiResult, platform::instruments::METRICS};

/// How many of the bundles that end at once their audit entry names; it counts all.
const MAX_NAMED: usize = 1_000;

/// Which bundles to disconnect: one, or all of the tenant's, in any state; or those of a pair or
/// of an endpoint or of both that are of use. Retired ones are not: nothing is sent on them any
/// more, and there is no end to them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scope {
    /// Of this pair.
    pub pair: Option<Uuid>,
    /// Of this endpoint, on either side.
    pub endpoint: Option<Uuid>,
    /// This one.
    pub bundle: Option<Uuid>,
}

/// Disconnects bundles and, if the scope names it, their pair. Each has its event, and together
/// they have one audit entry: it takes as many statements however many they are.
///
/// # Errors
/// If the database refuses.
pub async fn disconnect(
    tx: &mut Tx,
    actor: &Actor,
    scope: Scope,
    reason: &str,
) -> ApiResult<Vec<Uuid>> {
    let narrow = scope.pair.is_some() || scope.endpoint.is_some();
    let cut = match narrow {
        true => tx.bundles().disconnect(scope.pair, scope.endpoint).await?,
        false => tx.bundles().disconnect_any(scope.bundle).await?,
    };
    METRICS.disconnects.add(cut.len() as u64, &[]);
    let events = cut
        .iter()
        .map(|(bundle, pair)| NewEvent::BundleDisconnected {
            pair: *pair,
            bundle: *bundle,
            reason,
        });
    tx.events().record_all(events).await?;
    let bundles: Vec<Uuid> = cut.iter().map(|(bundle, _)| *bundle).collect();
    let action = match bundles[..] {
        [] => None,
        [id] => Some(LedgerAction::BundleDisconnect { id, reason }),
        [..] => Some(LedgerAction::BundlesDisconnect {
            of: scope.pair.or(scope.endpoint),
            reason,
            count: bundles.len(),
            bundles: bundles.get(..MAX_NAMED).unwrap_or(&bundles),
        }),
    };
    if let Some(action) = action {
        tx.audit_log().append(actor, action).await?;
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
