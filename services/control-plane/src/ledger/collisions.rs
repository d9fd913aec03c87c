//! `/v1/collisions`: with the evidence that anyone can check.

use std::sync::Arc;

use armour_api::{Collision, Evidence, Page};
use axum::{Json as Answer, extract::FromRef};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    http::{
        extract::{Cursor, Id, Params},
        problem::ApiResult,
    },
    identity::authn::{Authn, Member},
};

pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<Authn>: FromRef<S>,
{
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(evidence))
}

/// Lists collisions, latest first.
#[utoipa::path(get, path = "/v1/collisions", tag = "collisions", params(Cursor),
    responses((status = 200, body = Page<Collision>)))]
async fn list(
    mut member: Member,
    Params(cursor): Params<Cursor>,
) -> ApiResult<Answer<Page<Collision>>> {
    Ok(Answer(member.tx.collisions().list(cursor.cursor).await?))
}

/// One collision.
#[utoipa::path(get, path = "/v1/collisions/{id}", tag = "collisions",
    params(("id" = uuid::Uuid, Path)),
    responses((status = 200, body = Collision)))]
async fn get(mut member: Member, Id(id): Id) -> ApiResult<Answer<Collision>> {
    Ok(Answer(member.tx.collisions().find(id).await?))
}

/// A collision with all that a third party needs to check it without this service.
#[utoipa::path(get, path = "/v1/collisions/{id}/evidence", tag = "collisions",
    params(("id" = uuid::Uuid, Path)),
    responses((status = 200, body = Evidence)))]
async fn evidence(mut member: Member, Id(id): Id) -> ApiResult<Answer<Evidence>> {
    let collision = member.tx.collisions().find(id).await?;
    Ok(Answer(
        super::evidence::of(&mut member.tx, collision).await?,
    ))
}
