//! `/v1/collisions`: with the evidence that anyone can check.

use armour_api::{Collision, Page, Problem};
use axum::Json as Answer;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::Operator,
    extract::{Cursor, Params},
    problem::ApiResult,
    state::App,
};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Lists collisions, latest first.
#[utoipa::path(get, path = "/v1/collisions", tag = "collisions", params(Cursor),
    responses((status = 200, body = Page<Collision>), (status = "4XX", body = Problem)))]
async fn list(
    mut operator: Operator,
    Params(cursor): Params<Cursor>,
) -> ApiResult<Answer<Page<Collision>>> {
    Ok(Answer(operator.tx.list_collisions(cursor.cursor).await?))
}
