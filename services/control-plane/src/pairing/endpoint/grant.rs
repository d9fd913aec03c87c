//! A bundle of the calling endpoint.

use armour_api::{BundleGrant, ProblemType};
use axum::Json as Answer;
use serde::Deserialize;

use crate::{
    http::{
        extract::{Id, Params},
        problem::ApiResult,
    },
    identity::authn::EndpointAuth,
    pairing::access,
};

/// A bundle of the calling endpoint, with the secret sealed to it until that
/// is acknowledged.
#[utoipa::path(get, path = "/v1/endpoint/bundles/{id}", tag = "endpoint",
    params(("id" = Uuid, Path), Pinned),
    extensions(("x-problems" = json!([ProblemType::LogBehind]))),
    responses((status = 200, body = BundleGrant)))]
pub(super) async fn grant(
    mut caller: EndpointAuth,
    Id(id): Id,
    Params(pinned): Params<Pinned>,
) -> ApiResult<Answer<BundleGrant>> {
    let (tx, endpoint) = (&mut caller.tx, &caller.endpoint);
    let bundle = access::lock_own_bundle(tx, endpoint, id).await?;
    Ok(Answer(
        access::grant(tx, endpoint, &bundle, pinned.pinned).await?,
    ))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Pinned {
    /// Size of the audit log's head that the endpoint has pinned.
    pinned: Option<u64>,
}
