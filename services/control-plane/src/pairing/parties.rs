//! `/v1/producers` and `/v1/consumers`: the same act for two roles.

use std::sync::Arc;

use armour_api::{NewNamed, Page, Party, ProblemType, Role};
use armour_storage::{Counted, PairingAction};
use axum::{Json as Answer, extract::FromRef, http::StatusCode};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    http::{
        extract::{Cursor, Id, Json, Params, check_text},
        problem::ApiResult,
    },
    identity::authn::{Authn, Member},
};

type Created = (StatusCode, Answer<Party>);
type Listed = Answer<Page<Party>>;

pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<Authn>: FromRef<S>,
{
    OpenApiRouter::new()
        .routes(routes!(create_producer, list_producers))
        .routes(routes!(get_producer))
        .routes(routes!(create_consumer, list_consumers))
        .routes(routes!(get_consumer))
}

/// Registers a producer.
#[utoipa::path(post, path = "/v1/producers", tag = "producers", request_body = NewNamed,
    extensions(("x-problems" = json!([ProblemType::AlreadyExists, ProblemType::OverQuota]))),
    responses((status = 201, body = Party)))]
async fn create_producer(member: Member, new: Json<NewNamed>) -> ApiResult<Created> {
    create(member, Role::Producer, new).await
}

/// Registers a consumer.
#[utoipa::path(post, path = "/v1/consumers", tag = "consumers", request_body = NewNamed,
    extensions(("x-problems" = json!([ProblemType::AlreadyExists, ProblemType::OverQuota]))),
    responses((status = 201, body = Party)))]
async fn create_consumer(member: Member, new: Json<NewNamed>) -> ApiResult<Created> {
    create(member, Role::Consumer, new).await
}

async fn create(mut member: Member, role: Role, Json(new): Json<NewNamed>) -> ApiResult<Created> {
    check_text("name", &new.name, 100)?;
    let actor = member.actor();
    member.tx.quotas().check(Counted::Parties).await?;
    let id = member.tx.new_id();
    let party = member.tx.parties().create(role, id, &new.name).await?;
    member
        .tx
        .audit_log()
        .append(&actor, PairingAction::party_create(role, &party))
        .await?;
    member.tx.commit().await?;
    Ok((StatusCode::CREATED, Answer(party)))
}

/// Lists producers.
#[utoipa::path(get, path = "/v1/producers", tag = "producers", params(Cursor),
    responses((status = 200, body = Page<Party>)))]
async fn list_producers(member: Member, cursor: Params<Cursor>) -> ApiResult<Listed> {
    list(member, Role::Producer, cursor).await
}

/// Lists consumers.
#[utoipa::path(get, path = "/v1/consumers", tag = "consumers", params(Cursor),
    responses((status = 200, body = Page<Party>)))]
async fn list_consumers(member: Member, cursor: Params<Cursor>) -> ApiResult<Listed> {
    list(member, Role::Consumer, cursor).await
}

async fn list(mut member: Member, role: Role, Params(page): Params<Cursor>) -> ApiResult<Listed> {
    Ok(Answer(member.tx.parties().list(role, page.cursor).await?))
}

/// One producer.
#[utoipa::path(get, path = "/v1/producers/{id}", tag = "producers", params(("id" = Uuid, Path)),
    responses((status = 200, body = Party)))]
async fn get_producer(mut member: Member, Id(id): Id) -> ApiResult<Answer<Party>> {
    Ok(Answer(member.tx.parties().find(Role::Producer, id).await?))
}

/// One consumer.
#[utoipa::path(get, path = "/v1/consumers/{id}", tag = "consumers", params(("id" = Uuid, Path)),
    responses((status = 200, body = Party)))]
async fn get_consumer(mut member: Member, Id(id): Id) -> ApiResult<Answer<Party>> {
    Ok(Answer(member.tx.parties().find(Role::Consumer, id).await?))
}
