//! What the ledger shows, and what it ends.

use serde::Serialize;
use uuid::Uuid;

use super::action::AuditAction;
use crate::new_event::{CollisionSummary, FenceSummary};

/// What was done for the ledger's sake.
#[derive(Debug, Clone, Copy, Serialize, strum::IntoStaticStr)]
#[serde(untagged)]
pub enum LedgerAction<'a> {
    /// A bundle is of no use any more, on either side.
    #[strum(serialize = "bundle.disconnect")]
    BundleDisconnect {
        #[serde(skip)]
        id: Uuid,
        reason: &'a str,
    },
    /// Somebody else was found to hold the state of a bundle's consumer.
    #[strum(serialize = "collision.detect")]
    CollisionDetect {
        #[serde(skip)]
        bundle: Uuid,
        #[serde(flatten)]
        collision: CollisionSummary,
    },
    /// What was before the database was restored has ended. Agents look for this word.
    #[strum(serialize = "ledger.fence")]
    Fence(FenceSummary<'a>),
    /// A pair may not exchange any more.
    #[strum(serialize = "pair.disconnect")]
    PairDisconnect {
        #[serde(skip)]
        id: Uuid,
        reason: &'a str,
    },
}

impl AuditAction for LedgerAction<'_> {
    fn target(&self) -> String {
        match self {
            Self::BundleDisconnect { id, .. } | Self::PairDisconnect { id, .. } => id.to_string(),
            Self::CollisionDetect { bundle, .. } => bundle.to_string(),
            Self::Fence(_) => "ledger".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use armour_api::CollisionKind;
    use armour_transparency::pin::FENCE;

    use super::{super::action::check, *};

    const ID: Uuid = Uuid::from_u128(1);
    const ID_TEXT: &str = "00000000-0000-0000-0000-000000000001";

    #[test]
    fn of_disconnects() {
        let (id, reason) = (ID, "stolen");
        check(
            LedgerAction::BundleDisconnect { id, reason },
            "bundle.disconnect",
            ID_TEXT,
            r#"{"reason":"stolen"}"#,
        );
        check(
            LedgerAction::PairDisconnect { id, reason },
            "pair.disconnect",
            ID_TEXT,
            r#"{"reason":"stolen"}"#,
        );
        check(
            LedgerAction::CollisionDetect {
                bundle: ID,
                collision: CollisionSummary {
                    collision_id: Uuid::from_u128(2),
                    kind: CollisionKind::Disowned,
                    lane: 3,
                    n: 4,
                    reporter_id: Uuid::from_u128(5),
                },
            },
            "collision.detect",
            ID_TEXT,
            concat!(
                r#"{"collision_id":"00000000-0000-0000-0000-000000000002","kind":"disowned","#,
                r#""lane":3,"n":4,"reporter_id":"00000000-0000-0000-0000-000000000005"}"#
            ),
        );
    }

    #[test]
    fn of_fences() {
        let fence = FenceSummary {
            reason: "restored",
            bundles: 1,
            sessions: 2,
            seen_of_the_lost_log: Some(3),
        };
        check(
            LedgerAction::Fence(fence),
            FENCE,
            "ledger",
            r#"{"bundles":1,"reason":"restored","seen_of_the_lost_log":3,"sessions":2}"#,
        );
    }
}
