//! `/v1/bundles`: as operators see them.

use std::sync::Arc;

use armour_api::{
    Bundle, LaneHead, Obedience, Page, Reason, RecordedSubTicket, RecordedTicket, Role,
};
use axum::{Json as Answer, extract::FromRef};
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    http::{
        extract::{Id, Json, Params, check_text},
        problem::{ApiError, ApiResult},
    },
    identity::authn::{Authn, Member},
    ledger::disconnect::{self, Scope},
};

pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<Authn>: FromRef<S>,
{
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(lanes))
        .routes(routes!(tickets))
        .routes(routes!(sub_tickets))
        .routes(routes!(obediences))
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
    responses((status = 200, body = Page<Bundle>)))]
async fn list(
    mut member: Member,
    Params(filter): Params<Filter>,
) -> ApiResult<Answer<Page<Bundle>>> {
    Ok(Answer(
        member
            .tx
            .bundles()
            .list(filter.pair_id, filter.cursor)
            .await?,
    ))
}

/// One bundle.
#[utoipa::path(get, path = "/v1/bundles/{id}", tag = "bundles", params(("id" = Uuid, Path)),
    responses((status = 200, body = Bundle)))]
async fn get(mut member: Member, Id(id): Id) -> ApiResult<Answer<Bundle>> {
    Ok(Answer(member.tx.bundles().find(id).await?))
}

/// The ledger's heads of a bundle's lanes.
#[utoipa::path(get, path = "/v1/bundles/{id}/lanes", tag = "bundles",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = Vec<LaneHead>)))]
async fn lanes(mut member: Member, Id(id): Id) -> ApiResult<Answer<Vec<LaneHead>>> {
    member.tx.bundles().find(id).await?;
    let all = usize::from(u16::MAX) + 1;
    let of = [(id, Role::Consumer)];
    let (mut heads, _) = member.tx.lanes().heads(&of, None, all).await?;
    Ok(Answer(heads.remove(&id).unwrap_or_default()))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct OfLane {
    /// The lane.
    lane: u16,
    /// `next` of the page before.
    cursor: Option<i64>,
}

/// Tickets of one of a bundle's lanes, latest first.
#[utoipa::path(get, path = "/v1/bundles/{id}/tickets", tag = "bundles",
    params(("id" = Uuid, Path), OfLane),
    responses((status = 200, body = Page<RecordedTicket>)))]
async fn tickets(
    mut member: Member,
    Id(id): Id,
    Params(of): Params<OfLane>,
) -> ApiResult<Answer<Page<RecordedTicket>>> {
    const MAX: usize = 200;
    let context = member.tx.context(id).await?;
    let mut items = member
        .tx
        .tickets()
        .list(&context, of.lane, of.cursor, MAX + 1)
        .await?;
    let more = items.len() > MAX;
    items.truncate(MAX);
    let next = items.last().filter(|_| more).map(|last| last.n.to_string());
    Ok(Answer(Page { items, next }))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct OfExchange {
    /// The lane.
    lane: u16,
    /// The exchange.
    n: u64,
    /// `next` of the page before.
    cursor: Option<u32>,
}

/// Sub-tickets by which the streams of one exchange re-keyed, latest first.
#[utoipa::path(get, path = "/v1/bundles/{id}/sub-tickets", tag = "bundles",
    params(("id" = Uuid, Path), OfExchange),
    responses((status = 200, body = Page<RecordedSubTicket>)))]
async fn sub_tickets(
    mut member: Member,
    Id(id): Id,
    Params(of): Params<OfExchange>,
) -> ApiResult<Answer<Page<RecordedSubTicket>>> {
    const MAX: usize = 200;
    if i64::try_from(of.n).is_err() {
        return Err(ApiError::invalid("n is larger than any exchange's number"));
    }
    let context = member.tx.context(id).await?;
    let mut items = member
        .tx
        .sub_tickets()
        .list(&context, (of.lane, of.n), of.cursor, MAX + 1)
        .await?;
    let more = items.len() > MAX;
    items.truncate(MAX);
    let next = items.last().filter(|_| more).map(|last| last.k.to_string());
    Ok(Answer(Page { items, next }))
}

/// When endpoints obeyed a bundle's disconnect: their first sign of life after it
/// that no longer named the bundle.
#[utoipa::path(get, path = "/v1/bundles/{id}/obediences", tag = "bundles",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = Vec<Obedience>)))]
async fn obediences(mut member: Member, Id(id): Id) -> ApiResult<Answer<Vec<Obedience>>> {
    member.tx.bundles().find(id).await?;
    Ok(Answer(
        member.tx.disconnect_acknowledgements().list(id).await?,
    ))
}

/// Disconnects one bundle; its consumer may draw another.
#[utoipa::path(post, path = "/v1/bundles/{id}/disconnect", tag = "bundles",
    params(("id" = Uuid, Path)), request_body = Reason,
    responses((status = 200, body = Bundle)))]
async fn disconnect(
    mut member: Member,
    Id(id): Id,
    Json(reason): Json<Reason>,
) -> ApiResult<Answer<Bundle>> {
    check_text("reason", &reason.reason, 500)?;
    let actor = member.actor();
    let pair = member.tx.bundles().find(id).await?.pair_id;
    member.tx.pairs().lock(pair).await?;
    let scope = Scope::Bundle(id);
    disconnect::disconnect(&mut member.tx, &actor, scope, &reason.reason).await?;
    let bundle = member.tx.bundles().find(id).await?;
    member.tx.commit().await?;
    Ok(Answer(bundle))
}
