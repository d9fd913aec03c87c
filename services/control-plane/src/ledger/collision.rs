//! What a collision does: the fail-safe disconnect.

use armour_api::CollisionKind;
use armour_protocol::ticket::SignedTicket;
use armour_storage::{
    Actor, BundleRow, CollisionSummary, LedgerAction, NewCollision, NewEvent, Tx,
};
use opentelemetry::KeyValue;
use uuid::Uuid;

use super::disconnect::{Scope, disconnect};
use crate::{http::problem::ApiResult, platform::instruments::METRICS};

/// A proof that somebody else holds a consumer's state.
pub struct Found {
    /// The bundle whose tickets contradict each other.
    pub bundle: BundleRow,
    /// How it became evident.
    pub kind: CollisionKind,
    /// The lane.
    pub lane: u32,
    /// The exchange.
    pub n: u64,
    /// The recorded ticket.
    pub recorded: Option<SignedTicket>,
    /// The contradicting one.
    pub reported: Option<SignedTicket>,
    /// The endpoint whose report showed it.
    pub reporter: Uuid,
}

/// Records a collision and disconnects, all in the caller's transaction. Of
/// concurrent calls for a bundle the first does so and the others do nothing.
///
/// # Errors
/// If the database refuses; then nothing has happened.
pub async fn record_collision(tx: &mut Tx, found: &Found) -> ApiResult<bool> {
    // The pair's lock comes first wherever bundles change, so two calls for
    // one pair wait for each other and never block each other for good.
    tx.pairs().lock(found.bundle.pair).await?;
    let id = tx.new_id();
    let bytes = |ticket: &Option<SignedTicket>| ticket.map(|ticket| ticket.to_bytes().to_vec());
    let (recorded, reported) = (bytes(&found.recorded), bytes(&found.reported));
    let first = tx
        .collisions()
        .record(&NewCollision {
            id,
            pair: found.bundle.pair,
            bundle: found.bundle.id,
            kind: found.kind,
            lane: found.lane,
            n: found.n,
            recorded: recorded.as_deref(),
            reported: reported.as_deref(),
            reporter: found.reporter,
        })
        .await?;
    if !first {
        return Ok(false);
    }
    let collision = CollisionSummary {
        collision_id: id,
        kind: found.kind,
        lane: found.lane,
        n: found.n,
        reporter_id: found.reporter,
    };
    tx.events()
        .record(NewEvent::CollisionDetected {
            pair: found.bundle.pair,
            bundle: found.bundle.id,
            endpoint: found.bundle.consumer,
            collision,
        })
        .await?;
    let reporter = Actor::Endpoint(found.reporter);
    tx.audit_log()
        .append(
            &reporter,
            LedgerAction::CollisionDetect {
                bundle: found.bundle.id,
                collision,
            },
        )
        .await?;
    // A superseded bundle in use, or a successor that its consumer did not draw, means
    // that either of them is a thief's: both go. Otherwise the one bundle does.
    let successors = matches!(
        found.kind,
        CollisionKind::Superseded | CollisionKind::Usurped
    );
    let (consumer, bundle) = match successors {
        true => (Some(found.bundle.consumer), None),
        false => (None, Some(found.bundle.id)),
    };
    let kind = KeyValue::new("kind", found.kind.into_str());
    METRICS.collisions.add(1, &[kind]);
    disconnect(
        tx,
        &reporter,
        Scope {
            pair: Some(found.bundle.pair),
            endpoint: consumer,
            bundle,
        },
        "collision",
    )
    .await?;
    Ok(true)
}
