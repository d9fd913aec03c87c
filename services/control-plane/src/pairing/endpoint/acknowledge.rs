//! Receipts for bundles' secrets.

use armour_storage::PairingAction;
use axum::http::StatusCode;

use crate::{
    http::{extract::Id, problem::ApiResult},
    identity::authn::EndpointAuth,
    pairing::access,
};

/// The endpoint holds the secret: the control plane erases its copy.
#[utoipa::path(post, path = "/v1/endpoint/bundles/{id}/acknowledge", tag = "endpoint",
    params(("id" = Uuid, Path)), responses((status = 204)))]
pub(super) async fn acknowledge(mut caller: EndpointAuth, Id(id): Id) -> ApiResult<StatusCode> {
    let actor = caller.actor();
    let (tx, endpoint) = (&mut caller.tx, &caller.endpoint);
    access::lock_own_bundle(tx, endpoint, id).await?;
    tx.bundles().erase_secret(id, endpoint.role).await?;
    tx.audit_log()
        .append(&actor, PairingAction::BundleAcknowledge { id })
        .await?;
    caller.tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
