//! `/v1/overview`: the tenant at a glance.

use std::sync::Arc;

use armour_api::Overview;
use axum::{Json as Answer, extract::FromRef};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    http::problem::ApiResult,
    identity::authn::{Authn, Member},
};

pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<Authn>: FromRef<S>,
{
    OpenApiRouter::new().routes(routes!(overview))
}

/// The tenant at a glance.
#[utoipa::path(get, path = "/v1/overview", tag = "overview",
    responses((status = 200, body = Overview)))]
async fn overview(mut member: Member) -> ApiResult<Answer<Overview>> {
    let now = member.tx.now();
    Ok(Answer(member.tx.overview(now).await?))
}
