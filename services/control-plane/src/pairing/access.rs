//! Endpoints' access to their bundles. Locks are taken from the pair down, so bundles are
//! first read without one, to learn which pair's they are.

use armour_api::{Bundle, BundleGrant, Endpoint};
use armour_storage::{BundleRow, Tx, bundle_secret};
use base64::{Engine, engine::general_purpose::STANDARD};
use uuid::Uuid;

use crate::{
    audit::proofs::key_proof,
    http::problem::{ApiError, ApiResult},
};

/// Locks a bundle of the endpoint, on either side.
///
/// # Errors
/// 404 if it is another's.
pub async fn lock_own_bundle(tx: &mut Tx, endpoint: &Endpoint, id: Uuid) -> ApiResult<BundleRow> {
    let bundle = tx.bundles().find(id).await?;
    if ![bundle.consumer_endpoint_id, bundle.producer_endpoint_id].contains(&endpoint.id) {
        return Err(ApiError::not_found("no such bundle of this endpoint"));
    }
    lock(tx, &bundle).await
}

/// Locks a bundle that the endpoint consumes.
///
/// # Errors
/// 404 if it is another's.
pub async fn lock_consumed_bundle(
    tx: &mut Tx,
    consumer: &Endpoint,
    id: Uuid,
) -> ApiResult<BundleRow> {
    let bundle = tx.bundles().find(id).await?;
    if bundle.consumer_endpoint_id != consumer.id {
        return Err(ApiError::not_found("no such bundle of this consumer"));
    }
    lock(tx, &bundle).await
}

/// What an endpoint is told of its bundle, with the secret sealed to it while that is
/// kept, and with proof of both keys from the head that it has pinned on.
///
/// # Errors
/// 409 `log-behind` if the log is shorter than what the endpoint has pinned of it.
pub async fn grant(
    tx: &mut Tx,
    endpoint: &Endpoint,
    row: &BundleRow,
    pinned: Option<u64>,
) -> ApiResult<BundleGrant> {
    let bundle = tx.bundles().find(row.id).await?;
    let pair = tx.pairs().find(row.pair).await?;
    let consumer = tx.endpoints().find(row.consumer).await?;
    let producer = tx.endpoints().find(row.producer).await?;
    let secret = tx
        .secrets()
        .get(&bundle_secret(row.id, endpoint.role))
        .await?;
    let log = match pinned {
        None => None,
        Some(pinned) => Some(key_proof(tx, Some(pinned), &[row.consumer, row.producer]).await?),
    };
    Ok(BundleGrant {
        bundle,
        policy: pair.policy,
        tenant_id: tx.tenant_id(),
        consumer_signing_key: consumer.signing_key,
        producer_signing_key: producer.signing_key,
        producer_address: producer.address,
        sealed_secret: secret.map(|secret| STANDARD.encode(&*secret)),
        log,
    })
}

async fn lock(tx: &mut Tx, bundle: &Bundle) -> ApiResult<BundleRow> {
    tx.pairs().lock(bundle.pair_id).await?;
    Ok(tx.bundles().find_for_share(bundle.id).await?)
}
