//! The end of bundles, and of pairs: whatever the reason, with events and audit entries.
//!
//! First the bundles end and then everybody is told: their locks come before the journal's,
//! which orders all that a tenant's people and programs are told.

use armour_api::PairState;
use armour_storage::{Actor, LedgerAction, NewEvent, Tx};
use uuid::Uuid;

use crate::{http::problem::ApiResult, platform::instruments::METRICS};

/// How many of the bundles that end at once their audit entry names; it counts all.
const MAX_NAMED: usize = 1_000;

/// Which bundles end. Those that are of use are active, or were superseded so lately that a call
/// may still be under way; there is no end to those that were, and nobody can use them any more.
#[derive(Debug, Clone, Copy)]
pub enum Scope {
    /// This bundle, whatever state it is in.
    Bundle(Uuid),
    /// Those of a pair that are of use, and the pair.
    Pair(Uuid),
    /// Those of an endpoint that are of use, on either side; and a pair of its own, if one is
    /// named.
    Endpoint {
        /// The endpoint.
        id: Uuid,
        /// Its pair.
        pair: Option<Uuid>,
    },
    /// All of the tenant's that are of use.
    All,
}

impl Scope {
    /// An endpoint's bundles, and no pair.
    pub fn endpoint(id: Uuid) -> Self {
        Self::Endpoint { id, pair: None }
    }
}

/// What has ended, and nobody has been told of.
#[must_use = "people and endpoints are to be told"]
pub struct Cut {
    of: Option<Uuid>,
    /// Bundles and their pairs.
    bundles: Vec<(Uuid, Uuid)>,
    pair: Option<Uuid>,
}

/// Disconnects bundles and, if the scope names it, their pair. It takes as many statements
/// however many they are.
///
/// # Errors
/// If the database refuses.
pub async fn cut(tx: &mut Tx, scope: Scope) -> ApiResult<Cut> {
    let (of, pair) = match scope {
        Scope::Bundle(_) | Scope::All => (None, None),
        Scope::Pair(id) => (Some(id), Some(id)),
        Scope::Endpoint { id, pair } => (Some(id), pair),
    };
    let pair = match pair {
        Some(id) if tx.pairs().set_state(id, PairState::Disconnected).await? => Some(id),
        _ => None,
    };
    let due = match scope {
        Scope::Bundle(id) => vec![id],
        Scope::Pair(id) => tx.bundles().live_of_pair(id).await?,
        Scope::Endpoint { id, .. } => tx.bundles().live_of_endpoint(id).await?,
        Scope::All => tx.bundles().live().await?,
    };
    let bundles = tx.bundles().disconnect(&due).await?;
    Ok(Cut { of, bundles, pair })
}

impl Cut {
    /// How many bundles have ended.
    pub fn count(&self) -> usize {
        self.bundles.len()
    }

    /// Tells of it: each bundle has its event, and together they have one audit entry.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn tell(self, tx: &mut Tx, actor: &Actor, reason: &str) -> ApiResult<()> {
        METRICS.disconnects.add(self.bundles.len() as u64, &[]);
        let events = self
            .bundles
            .iter()
            .map(|(bundle, pair)| NewEvent::BundleDisconnected {
                pair: *pair,
                bundle: *bundle,
                reason,
            });
        tx.events().record_all(events).await?;
        let bundles: Vec<Uuid> = self.bundles.iter().map(|(bundle, _)| *bundle).collect();
        let action = match bundles[..] {
            [] => None,
            [id] => Some(LedgerAction::BundleDisconnect { id, reason }),
            [..] => Some(LedgerAction::BundlesDisconnect {
                of: self.of,
                reason,
                count: bundles.len(),
                bundles: bundles.get(..MAX_NAMED).unwrap_or(&bundles),
            }),
        };
        if let Some(action) = action {
            tx.audit_log().append(actor, action).await?;
        }
        if let Some(pair) = self.pair {
            tx.events()
                .record(NewEvent::PairDisconnected { pair, reason })
                .await?;
            tx.audit_log()
                .append(actor, LedgerAction::PairDisconnect { id: pair, reason })
                .await?;
        }
        Ok(())
    }
}

/// Disconnects bundles, and tells of it.
///
/// # Errors
/// If the database refuses.
pub async fn disconnect(tx: &mut Tx, actor: &Actor, scope: Scope, reason: &str) -> ApiResult<()> {
    cut(tx, scope).await?.tell(tx, actor, reason).await
}
