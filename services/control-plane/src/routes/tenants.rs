//! `/v1/tenants`: for the platform's administrator.

use armour_api::{CreatedTenant, NewTenant, Page, Problem, Tenant};
use armour_storage::Actor;
use axum::{Json as Answer, extract::State, http::StatusCode};
use serde_json::json;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    auth::Platform,
    extract::{Cursor, Id, Json, Params, check_text},
    problem::ApiResult,
    state::App,
    token::{self, Kind},
};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(get))
}

/// Creates a tenant and its first operator token, which is shown this once.
#[utoipa::path(post, path = "/v1/tenants", tag = "tenants", request_body = NewTenant,
    responses((status = 201, body = CreatedTenant), (status = "4XX", body = Problem)))]
async fn create(
    _: Platform,
    State(app): State<App>,
    Json(new): Json<NewTenant>,
) -> ApiResult<(StatusCode, Answer<CreatedTenant>)> {
    check_text("name", &new.name, 100)?;
    let mut tx = app.store.platform().await?;
    let tenant = tx.create_tenant(Uuid::now_v7(), &new.name).await?;
    let (text, token) = token::mint(Kind::Operator, tenant.id);
    tx.create_api_token(token.id, "first", &token.hash).await?;
    tx.audit(
        Actor::Platform,
        "tenant.create",
        tenant.id,
        json!({ "name": tenant.name }),
    )
    .await?;
    tx.commit().await?;
    Ok((
        StatusCode::CREATED,
        Answer(CreatedTenant {
            tenant,
            token: text,
        }),
    ))
}

/// Lists tenants.
#[utoipa::path(get, path = "/v1/tenants", tag = "tenants", params(Cursor),
    responses((status = 200, body = Page<Tenant>), (status = "4XX", body = Problem)))]
async fn list(
    _: Platform,
    State(app): State<App>,
    Params(cursor): Params<Cursor>,
) -> ApiResult<Answer<Page<Tenant>>> {
    Ok(Answer(
        app.store
            .platform()
            .await?
            .list_tenants(cursor.cursor)
            .await?,
    ))
}

/// One tenant.
#[utoipa::path(get, path = "/v1/tenants/{id}", tag = "tenants", params(("id" = Uuid, Path)),
    responses((status = 200, body = Tenant), (status = "4XX", body = Problem)))]
async fn get(_: Platform, State(app): State<App>, Id(id): Id) -> ApiResult<Answer<Tenant>> {
    Ok(Answer(app.store.platform().await?.find_tenant(id).await?))
}
