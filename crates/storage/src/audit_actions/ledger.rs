//! What the ledger shows, and what it ends.

use serde::Serialize;
use uuid::Uuid;

use super::action::AuditAction;
use crate::new_event::{CheckpointAlarm, CollisionSummary, FenceSummary, MissingWitness};

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
    /// Several bundles at once are of no use any more, on either side.
    #[strum(serialize = "bundle.disconnect")]
    BundlesDisconnect {
        /// Whose they were: a pair, an endpoint, or all of the ledger.
        #[serde(skip)]
        of: Option<Uuid>,
        reason: &'a str,
        /// How many.
        count: usize,
        /// Their ids, of very many not all.
        bundles: &'a [Uuid],
    },
    /// In one of a bundle's streams a checkpoint was found that an end's key signed and not
    /// that end.
    #[strum(serialize = "bundle.foreign-checkpoint")]
    BundleForeignCheckpoint {
        #[serde(skip)]
        id: Uuid,
        #[serde(flatten)]
        alarm: CheckpointAlarm<'a>,
    },
    /// A bundle's producer does not report what its consumer does.
    #[strum(serialize = "bundle.unwitnessed")]
    BundleUnwitnessed {
        #[serde(skip)]
        id: Uuid,
        #[serde(flatten)]
        witness: MissingWitness,
    },
    /// Somebody else was found to hold an endpoint's state.
    #[strum(serialize = "collision.detect")]
    CollisionDetect {
        #[serde(skip)]
        endpoint: Uuid,
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
            Self::BundleDisconnect { id, .. }
            | Self::BundleForeignCheckpoint { id, .. }
            | Self::BundleUnwitnessed { id, .. }
            | Self::PairDisconnect { id, .. } => id.to_string(),
            Self::CollisionDetect { endpoint, .. } => endpoint.to_string(),
            Self::BundlesDisconnect { of: Some(id), .. } => id.to_string(),
            Self::BundlesDisconnect { of: None, .. } | Self::Fence(_) => "ledger".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use armour_api::{CollisionKind, Role};
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
            LedgerAction::BundlesDisconnect {
                of: Some(id),
                reason,
                count: 3,
                bundles: &[Uuid::from_u128(2)],
            },
            "bundle.disconnect",
            ID_TEXT,
            concat!(
                r#"{"bundles":["00000000-0000-0000-0000-000000000002"],"count":3,"#,
                r#""reason":"stolen"}"#
            ),
        );
        check(
            LedgerAction::PairDisconnect { id, reason },
            "pair.disconnect",
            ID_TEXT,
            r#"{"reason":"stolen"}"#,
        );
        check(
            LedgerAction::CollisionDetect {
                endpoint: ID,
                collision: CollisionSummary {
                    collision_id: Uuid::from_u128(2),
                    kind: CollisionKind::Disowned,
                    role: Role::Producer,
                    lane: Some(3),
                    n: 4,
                    k: Some(7),
                    reporter_id: Uuid::from_u128(5),
                },
            },
            "collision.detect",
            ID_TEXT,
            concat!(
                r#"{"collision_id":"00000000-0000-0000-0000-000000000002","k":7,"#,
                r#""kind":"disowned","#,
                r#""lane":3,"n":4,"reporter_id":"00000000-0000-0000-0000-000000000005","#,
                r#""role":"producer"}"#
            ),
        );
    }

    #[test]
    fn of_missing_witnesses() {
        let witness = MissingWitness {
            producer_endpoint_id: Uuid::from_u128(2),
            since: chrono::DateTime::UNIX_EPOCH,
        };
        check(
            LedgerAction::BundleUnwitnessed { id: ID, witness },
            "bundle.unwitnessed",
            ID_TEXT,
            concat!(
                r#"{"producer_endpoint_id":"00000000-0000-0000-0000-000000000002","#,
                r#""since":"1970-01-01T00:00:00Z"}"#
            ),
        );
    }

    #[test]
    fn of_foreign_checkpoints() {
        let alarm = CheckpointAlarm {
            reporter_id: Uuid::from_u128(2),
            lane: 3,
            n: None,
            k: None,
            signed_by: None,
            checkpoint: None,
        };
        check(
            LedgerAction::BundleForeignCheckpoint { id: ID, alarm },
            "bundle.foreign-checkpoint",
            ID_TEXT,
            concat!(
                r#"{"checkpoint":null,"k":null,"lane":3,"n":null,"#,
                r#""reporter_id":"00000000-0000-0000-0000-000000000002","signed_by":null}"#
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
