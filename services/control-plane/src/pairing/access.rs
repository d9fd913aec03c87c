//! Endpoints' access to their bundles.

use armour_api::{BundleEnd, BundleGrant, Role};
use armour_protocol::v2::identity::start::StartHash;
use armour_storage::{BundleRow, Tx, bundle_secret};
use base64::{Engine, engine::general_purpose::STANDARD};
use uuid::Uuid;

use crate::{
    audit::proofs::key_proof,
    http::problem::{ApiError, ApiResult},
};

/// A bundle, and on which side of it this start of an endpoint is.
///
/// # Errors
/// 404 if there is none, or it is another's, or an earlier start's.
pub fn own(
    bundle: Option<&BundleRow>,
    endpoint: Uuid,
    start: StartHash,
) -> ApiResult<(&BundleRow, Role)> {
    let found = bundle.and_then(|bundle| {
        let side = bundle.side(endpoint)?;
        (bundle.start(side) == start).then_some((bundle, side))
    });
    found.ok_or_else(|| ApiError::not_found("no such bundle of this start of the endpoint"))
}

/// What an endpoint is told of its bundle, with the secret sealed to its start while that is
/// kept, and with proof of both ends' long-term keys and states from the head that it has pinned
/// on.
///
/// # Errors
/// 409 `log-behind` if the log is shorter than what the endpoint has pinned of it.
pub async fn grant(
    tx: &mut Tx,
    bundle: &BundleRow,
    side: Role,
    pinned: Option<u64>,
) -> ApiResult<BundleGrant> {
    let secret = tx.secrets().get(&bundle_secret(bundle.id, side)).await?;
    let log = match pinned {
        None => None,
        Some(pinned) => {
            let ends = [bundle.consumer, bundle.producer];
            Some(key_proof(tx, Some(pinned), &ends).await?)
        }
    };
    let producer = tx.endpoints().find(bundle.producer).await?;
    Ok(BundleGrant {
        bundle: tx.bundles().find(bundle.id).await?,
        draw: bundle.draw,
        policy: tx.bundles().policy(bundle.id).await?,
        tenant_id: tx.tenant_id(),
        consumer: bundle_end(tx, bundle, Role::Consumer).await?,
        producer: bundle_end(tx, bundle, Role::Producer).await?,
        producer_address: producer.address,
        sealed_secret: secret.map(|secret| STANDARD.encode(&*secret)),
        log,
    })
}

/// One end of a bundle, with what shows that the bundle names its key.
///
/// # Errors
/// If the database does not answer or holds what cannot be read.
pub async fn bundle_end(tx: &mut Tx, bundle: &BundleRow, side: Role) -> ApiResult<BundleEnd> {
    let (id, key) = match side {
        Role::Consumer => (bundle.consumer, &bundle.consumer_key),
        Role::Producer => (bundle.producer, &bundle.producer_key),
    };
    let hash = bundle.start(side);
    let endpoint = tx.endpoints().find(id).await?;
    let start = tx.starts().find(id, hash).await?;
    let start = start.ok_or_else(|| ApiError::internal("a bundle of a start that is gone"))?;
    let renewals = tx.starts().renewals(id, hash, key).await?;
    let certificate = tx.endpoints().certificate(id).await?;
    Ok(BundleEnd {
        party_id: endpoint.party_id,
        endpoint_id: id,
        signing_key: endpoint.signing_key,
        kem_key: endpoint.kem_key,
        start: STANDARD.encode(start.start.to_bytes()),
        renewals: renewals.iter().map(|link| STANDARD.encode(link)).collect(),
        incarnation_key: STANDARD.encode(key),
        certificate: certificate.map(|bytes| STANDARD.encode(bytes)),
    })
}
