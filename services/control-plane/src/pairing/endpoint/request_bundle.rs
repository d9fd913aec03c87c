//! Requests for a new bundle.

use armour_api::{BundleGrant, DrawBundle, ProblemType};
use axum::{Json as Answer, http::StatusCode};

use crate::{
    http::{extract::Json, problem::ApiResult},
    identity::authn::EndpointAuth,
    pairing::{access, issuance},
};

/// Draws a bundle: mints its secret and seals it to both endpoints. The
/// endpoint's active bundle of the pair is superseded.
#[utoipa::path(post, path = "/v1/endpoint/bundles", tag = "endpoint", request_body = DrawBundle,
    extensions(("x-problems" = json!([
        ProblemType::NotFound, ProblemType::PairDisconnected, ProblemType::NoProducer,
        ProblemType::DrawOver, ProblemType::LogBehind
    ]))),
    responses((status = 201, body = BundleGrant)))]
pub(super) async fn request_bundle(
    mut caller: EndpointAuth,
    Json(ask): Json<DrawBundle>,
) -> ApiResult<(StatusCode, Answer<BundleGrant>)> {
    let (tx, consumer) = (&mut caller.tx, &caller.endpoint);
    let id = issuance::issue_bundle(tx, consumer, ask.pair_id, ask.number).await?;
    let bundle = tx.bundles().find_for_share(id).await?;
    let grant = access::grant(tx, consumer, &bundle, ask.pinned).await?;
    caller.tx.commit().await?;
    Ok((StatusCode::CREATED, Answer(grant)))
}
