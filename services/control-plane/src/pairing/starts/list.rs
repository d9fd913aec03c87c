//! An endpoint's starts and the tenant's disputes between two, as people see them.

use armour_api::{EndpointStart, Page, StartDispute};
use axum::Json as Answer;
use serde::Deserialize;

use crate::{
    http::{
        extract::{Cursor, Id, Params},
        problem::ApiResult,
    },
    identity::authn::Member,
};

/// Where a page of starts begins.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct StartsCursor {
    /// `next` of the page before.
    cursor: Option<u64>,
}

/// Lists an endpoint's starts that were accepted, latest first.
#[utoipa::path(get, path = "/v1/endpoints/{id}/starts", tag = "endpoints",
    params(("id" = uuid::Uuid, Path), StartsCursor),
    responses((status = 200, body = Page<EndpointStart>)))]
pub(super) async fn starts(
    mut member: Member,
    Id(id): Id,
    Params(cursor): Params<StartsCursor>,
) -> ApiResult<Answer<Page<EndpointStart>>> {
    let endpoint = member.tx.endpoints().find(id).await?;
    let starts = member.tx.starts().list(endpoint.id, cursor.cursor).await?;
    Ok(Answer(starts))
}

/// Lists endpoints of which two starts both live, so that somebody has to choose.
#[utoipa::path(get, path = "/v1/start-disputes", tag = "endpoints", params(Cursor),
    responses((status = 200, body = Page<StartDispute>)))]
pub(super) async fn disputes(
    mut member: Member,
    Params(cursor): Params<Cursor>,
) -> ApiResult<Answer<Page<StartDispute>>> {
    Ok(Answer(member.tx.disputes().list(cursor.cursor).await?))
}
