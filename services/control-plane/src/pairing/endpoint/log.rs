//! The audit log, as the calling endpoint pins it.

use armour_api::{LogHead, ProblemType};
use axum::Json as Answer;

use crate::{
    audit::{proofs::log_head, routes::Since},
    http::{extract::Params, problem::ApiResult},
    identity::authn::EndpointAuth,
};

/// The audit log's latest head, and how it follows from one that the endpoint has
/// pinned.
#[utoipa::path(get, path = "/v1/endpoint/log", tag = "endpoint", params(Since),
    extensions(("x-problems" = json!([ProblemType::LogBehind]))),
    responses((status = 200, body = LogHead)))]
pub(super) async fn log(
    mut caller: EndpointAuth,
    Params(since): Params<Since>,
) -> ApiResult<Answer<LogHead>> {
    Ok(Answer(log_head(&mut caller.tx, since.since).await?))
}
