//! What a collision does: the identity that signed it ends, and every ticket of its bundles
//! with it.

use armour_api::{CollisionKind, Role};
use armour_protocol::v2::identity::start::StartHash;
use armour_storage::{
    Actor, BundleRow, CollisionSummary, LedgerAction, NewCollision, NewEvent, Tx,
};
use opentelemetry::KeyValue;
use uuid::Uuid;

use super::disconnect::{Scope, cut};
use crate::{
    http::problem::ApiResult, pairing::assignments::changed, platform::instruments::METRICS,
};

/// A proof that somebody else holds an endpoint's state.
pub struct Found {
    /// The endpoint whose state was copied.
    pub endpoint: Uuid,
    /// Its side.
    pub role: Role,
    /// The start that signed it.
    pub start: StartHash,
    /// How it became evident.
    pub kind: CollisionKind,
    /// The bundle and lane where it was found, for those of tickets and receipts.
    pub place: Option<(BundleRow, u16)>,
    /// The exchange or, for links and starts, the number of the link or start.
    pub n: u64,
    /// The sub-ticket of the exchange, for those of its line.
    pub k: Option<u32>,
    /// What is recorded, with its proof.
    pub recorded: Option<Vec<u8>>,
    /// What contradicts it.
    pub reported: Option<Vec<u8>>,
    /// The endpoint whose report showed it.
    pub reporter: Uuid,
}

/// Records a collision and ends the identity that signed it, all in the caller's transaction.
/// A consumer's disconnects the pair where it was found as well. Of concurrent calls the first
/// does so and the others do nothing.
///
/// # Errors
/// If the database refuses; then nothing has happened.
pub async fn record_collision(tx: &mut Tx, found: &Found) -> ApiResult<bool> {
    // The endpoint's lock comes first wherever its standing changes.
    tx.endpoints().lock(found.endpoint).await?;
    if !tx.endpoints().collide(found.endpoint).await? {
        return Ok(false);
    }
    let id = tx.new_id();
    let place = found.place.as_ref();
    // What was cut before people let the pair go on shows what they have looked at.
    let is_settled = match place {
        Some((bundle, _)) => tx.pairs().was_re_armed_since(bundle.id).await?,
        None => false,
    };
    let ended = cut(
        tx,
        Scope::Endpoint {
            id: found.endpoint,
            pair: place
                .filter(|_| found.role == Role::Consumer && !is_settled)
                .map(|(bundle, _)| bundle.pair),
        },
    )
    .await?;
    let place = place.map(|(bundle, lane)| (bundle.pair, bundle.id, *lane));
    tx.collisions()
        .record(&NewCollision {
            id,
            endpoint: found.endpoint,
            role: found.role,
            start: found.start,
            kind: found.kind,
            place,
            n: found.n,
            k: found.k,
            recorded: found.recorded.as_deref(),
            reported: found.reported.as_deref(),
            reporter: found.reporter,
        })
        .await?;
    tell(tx, found, id).await?;
    let reporter = Actor::Endpoint(found.reporter);
    ended.tell(tx, &reporter, "collision").await?;
    let collided = tx.endpoints().find(found.endpoint).await?;
    changed(tx, &collided).await?;
    let kind = KeyValue::new("kind", found.kind.into_str());
    METRICS.collisions.add(1, &[kind]);
    Ok(true)
}

/// Writes the events and the audit entry.
async fn tell(tx: &mut Tx, found: &Found, id: Uuid) -> ApiResult<()> {
    let place = found.place.as_ref();
    let collision = CollisionSummary {
        collision_id: id,
        kind: found.kind,
        role: found.role,
        lane: place.map(|(_, lane)| *lane),
        n: found.n,
        k: found.k,
        reporter_id: found.reporter,
    };
    tx.events()
        .record(NewEvent::CollisionDetected {
            pair: place.map(|(bundle, _)| bundle.pair),
            bundle: place.map(|(bundle, _)| bundle.id),
            endpoint: found.endpoint,
            collision,
        })
        .await?;
    tx.events()
        .record(NewEvent::EndpointCollided {
            endpoint: found.endpoint,
            kind: found.kind,
        })
        .await?;
    let action = LedgerAction::CollisionDetect {
        endpoint: found.endpoint,
        collision,
    };
    tx.audit_log()
        .append(&Actor::Endpoint(found.reporter), action)
        .await?;
    Ok(())
}
