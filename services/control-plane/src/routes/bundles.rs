//! `/v1/bundles`: as operators see them.

use armour_api::{Bundle, LaneHead, Page, Problem, Reason};
use axum::Json as Answer;
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    auth::Member,
    collision::{Scope, disconnect as cut},
    extract::{Id, Json, Params, check_text},
    problem::ApiResult,
    state::App,
};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(lanes))
        .routes(routes!(disconnect))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// `next` of the page before.
    cursor: Option<Uuid>,
    /// Only bundles of this pair.
    pair_id: Option<Uuid>,
}

/// Lists bundles, latest first.
#[utoipa::path(get, path = "/v1/bundles", tag = "bundles", params(Filter),
    responses((status = 200, body = Page<Bundle>), (status = "4XX", body = Problem)))]
async fn list(
    mut member: Member,
    Params(filter): Params<Filter>,
) -> ApiResult<Answer<Page<Bundle>>> {
    Ok(Answer(
        member
            .tx
            .list_bundles(filter.pair_id, filter.cursor)
            .await?,
    ))
}

/// One bundle.
#[utoipa::path(get, path = "/v1/bundles/{id}", tag = "bundles", params(("id" = Uuid, Path)),
    responses((status = 200, body = Bundle), (status = "4XX", body = Problem)))]
async fn get(mut member: Member, Id(id): Id) -> ApiResult<Answer<Bundle>> {
    Ok(Answer(member.tx.find_bundle(id).await?))
}

/// The ledger's heads of a bundle's lanes.
#[utoipa::path(get, path = "/v1/bundles/{id}/lanes", tag = "bundles",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = Vec<LaneHead>), (status = "4XX", body = Problem)))]
async fn lanes(mut member: Member, Id(id): Id) -> ApiResult<Answer<Vec<LaneHead>>> {
    member.tx.find_bundle(id).await?;
    Ok(Answer(member.tx.lane_heads(id).await?))
}

/// Disconnects one bundle; its consumer may draw another.
#[utoipa::path(post, path = "/v1/bundles/{id}/disconnect", tag = "bundles",
    params(("id" = Uuid, Path)), request_body = Reason,
    responses((status = 200, body = Bundle), (status = "4XX", body = Problem)))]
async fn disconnect(
    mut member: Member,
    Id(id): Id,
    Json(reason): Json<Reason>,
) -> ApiResult<Answer<Bundle>> {
    check_text("reason", &reason.reason, 500)?;
    let actor = member.actor();
    let pair = member.tx.find_bundle(id).await?.pair_id;
    member.tx.lock_pair(pair).await?;
    let scope = Scope {
        pair: None,
        endpoint: None,
        bundle: Some(id),
    };
    cut(&mut member.tx, &actor, scope, &reason.reason).await?;
    let bundle = member.tx.find_bundle(id).await?;
    member.tx.commit().await?;
    Ok(Answer(bundle))
}
