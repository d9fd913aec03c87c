//! `/v1/overview`: the tenant at a glance.

use armour_api::{Overview, Problem};
use axum::Json as Answer;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{app::App, http::problem::ApiResult, identity::authn::Member};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(overview))
}

/// The tenant at a glance.
#[utoipa::path(get, path = "/v1/overview", tag = "overview",
    responses((status = 200, body = Overview), (status = "4XX", body = Problem)))]
async fn overview(mut member: Member) -> ApiResult<Answer<Overview>> {
    let now = member.tx.now();
    Ok(Answer(member.tx.overview(now).await?))
}
