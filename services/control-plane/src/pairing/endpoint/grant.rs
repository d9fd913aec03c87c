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

/// A bundle of the calling endpoint's start, with the secret sealed to it until that
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
    let (endpoint, start) = (caller.endpoint.id, caller.start);
    let tx = &mut caller.tx;
    let found = tx.bundles().find_many(&[id]).await?;
    let (bundle, side) = access::own(found.get(&id), endpoint, start)?;
    Ok(Answer(
        access::grant(tx, bundle, side, pinned.pinned).await?,
    ))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Pinned {
    /// Size of the audit log's head that the endpoint has pinned.
    pinned: Option<u64>,
}
