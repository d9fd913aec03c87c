//! A collision with all that a third party needs to check it without this service.

use armour_api::{Collision, CollisionKind, Evidence, EvidenceBundle, Role};
use armour_protocol::v2::identity::start::StartHash;
use armour_storage::Tx;
use base64::{Engine, engine::general_purpose::STANDARD};
use uuid::Uuid;

use crate::{
    audit::proofs::key_proof,
    http::problem::{ApiError, ApiResult},
    pairing::access,
};

/// The evidence of a collision.
///
/// # Errors
/// If the database does not answer, or no longer holds what the collision is of.
pub async fn of(tx: &mut Tx, collision: Collision) -> ApiResult<Evidence> {
    let endpoint = tx.endpoints().find(collision.endpoint_id).await?;
    let hash = hex::decode(&collision.start).map_err(ApiError::internal)?;
    let hash = hash.try_into().map_err(|_| ApiError::internal("a hash"))?;
    let hash = StartHash(hash);
    let start = match tx.starts().find(endpoint.id, hash).await? {
        Some(row) => STANDARD.encode(row.start.to_bytes()),
        // Of a start that was never accepted, what was reported is the start.
        None => collision
            .reported
            .clone()
            .filter(|_| collision.kind == CollisionKind::Start)
            .ok_or_else(|| ApiError::internal("a collision of a start that is gone"))?,
    };
    let renewals = tx.starts().all_renewals(endpoint.id, hash).await?;
    let bundle = match collision.bundle_id {
        None => None,
        Some(id) => Some(bundle(tx, id).await?),
    };
    Ok(Evidence {
        bundle,
        start,
        renewals: renewals.iter().map(|link| STANDARD.encode(link)).collect(),
        signing_key: endpoint.signing_key,
        log_key: STANDARD.encode(tx.audit_log().public_key().await?),
        keys: key_proof(tx, None, &[endpoint.id]).await?,
        collision,
    })
}

async fn bundle(tx: &mut Tx, id: Uuid) -> ApiResult<EvidenceBundle> {
    let row = tx.bundles().find_for_share(id).await?;
    let consumer = access::bundle_end(tx, &row, Role::Consumer).await?;
    let producer = access::bundle_end(tx, &row, Role::Producer).await?;
    Ok(EvidenceBundle {
        tenant_id: tx.tenant_id(),
        pair_id: row.pair,
        bundle_id: row.id,
        suite: row.suite,
        draw: row.draw,
        policy_hash: STANDARD.encode(row.policy_hash),
        consumer,
        producer,
    })
}
