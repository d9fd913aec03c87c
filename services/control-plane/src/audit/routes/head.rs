//! The latest head.

use armour_api::{LogHead, ProblemType};
use axum::Json as Answer;
use serde::Deserialize;

use crate::{
    audit::proofs::log_head,
    http::{extract::Params, problem::ApiResult},
    identity::authn::Member,
};

/// The latest signed head of the log's tree.
#[utoipa::path(get, path = "/v1/audit/head", tag = "audit", params(Since),
    extensions(("x-problems" = json!([ProblemType::LogBehind]))),
    responses((status = 200, body = LogHead)))]
pub(super) async fn head(
    mut member: Member,
    Params(since): Params<Since>,
) -> ApiResult<Answer<LogHead>> {
    Ok(Answer(log_head(&mut member.tx, since.since).await?))
}

/// What the caller knows.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Since {
    /// Size of a head that the caller knows.
    pub since: Option<u64>,
}
