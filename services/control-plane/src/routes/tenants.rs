//! `/v1/tenants`: for the platform's administrator.

use armour_api::{AccessRole, CreatedTenant, NewTenant, Page, Problem, Quotas, Tenant};
use armour_storage::{Actor, NewToken};
use axum::{Json as Answer, extract::State, http::StatusCode};
use serde_json::json;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    auth::{Member, Platform},
    collision::{Scope, disconnect},
    extract::{Cursor, Id, Json, Params, check_text},
    problem::ApiResult,
    state::App,
    token::{self, Kind},
};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(get, delete))
        .routes(routes!(get_quotas, set_quotas))
        .routes(routes!(own_quotas))
}

/// Creates a tenant and its administrator's first token, which is shown this once.
#[utoipa::path(post, path = "/v1/tenants", tag = "tenants", request_body = NewTenant,
    responses((status = 201, body = CreatedTenant), (status = "4XX", body = Problem)))]
async fn create(
    _: Platform,
    State(app): State<App>,
    Json(new): Json<NewTenant>,
) -> ApiResult<(StatusCode, Answer<CreatedTenant>)> {
    check_text("name", &new.name, 100)?;
    let id = Uuid::now_v7();
    let detail = json!({ "name": new.name });
    let mut tx = app.store.platform().await?;
    tx.audit(&Actor::Platform, "tenant.create", id, detail.clone())
        .await?;
    let tenant = tx.create_tenant(id, &new.name).await?;
    let (text, token) = token::mint(Kind::Api, tenant.id);
    tx.create_api_token(&NewToken {
        id: token.id,
        name: "first",
        role: AccessRole::TenantAdmin,
        hash: &token.hash,
        expires_at: None,
    })
    .await?;
    tx.audit(&Actor::Platform, "tenant.create", id, detail)
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
    let mut tx = app.store.platform().await?;
    Ok(Answer(tx.list_tenants(cursor.cursor).await?))
}

/// One tenant.
#[utoipa::path(get, path = "/v1/tenants/{id}", tag = "tenants", params(("id" = Uuid, Path)),
    responses((status = 200, body = Tenant), (status = "4XX", body = Problem)))]
async fn get(_: Platform, State(app): State<App>, Id(id): Id) -> ApiResult<Answer<Tenant>> {
    Ok(Answer(app.store.platform().await?.find_tenant(id).await?))
}

/// Deletes a tenant: all of its credentials end, its bundles are disconnected, and
/// its key is shredded, so that nothing of its secrets can ever be opened again.
#[utoipa::path(delete, path = "/v1/tenants/{id}", tag = "tenants", params(("id" = Uuid, Path)),
    responses((status = 204), (status = "4XX", body = Problem)))]
async fn delete(_: Platform, State(app): State<App>, Id(id): Id) -> ApiResult<StatusCode> {
    let mut tx = app.store.platform().await?;
    let name = tx.find_tenant(id).await?.name;
    let detail = json!({ "name": name });
    tx.audit(&Actor::Platform, "tenant.delete", id, detail.clone())
        .await?;
    tx.delete_tenant(id).await?;
    tx.bind(id).await?;
    tx.revoke_all_tokens().await?;
    tx.end_sessions(&Default::default()).await?;
    tx.revoke_all_endpoints().await?;
    let everything = Scope {
        pair: None,
        endpoint: None,
        bundle: None,
    };
    disconnect(&mut tx, &Actor::Platform, everything, "tenant deleted").await?;
    tx.delete_all_webhooks().await?;
    tx.audit(&Actor::Platform, "tenant.delete", id, detail)
        .await?;
    // After the last entry: without its key the log takes no more.
    tx.shred().await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How much a tenant may have and ask.
#[utoipa::path(get, path = "/v1/tenants/{id}/quotas", tag = "tenants",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = Quotas), (status = "4XX", body = Problem)))]
async fn get_quotas(_: Platform, State(app): State<App>, Id(id): Id) -> ApiResult<Answer<Quotas>> {
    let mut tx = app.store.platform().await?;
    tx.find_tenant(id).await?;
    tx.bind(id).await?;
    Ok(Answer(tx.quotas().await?))
}

/// Sets how much a tenant may have and ask; what it has already stays.
#[utoipa::path(put, path = "/v1/tenants/{id}/quotas", tag = "tenants",
    params(("id" = Uuid, Path)), request_body = Quotas,
    responses((status = 200, body = Quotas), (status = "4XX", body = Problem)))]
async fn set_quotas(
    _: Platform,
    State(app): State<App>,
    Id(id): Id,
    Json(quotas): Json<Quotas>,
) -> ApiResult<Answer<Quotas>> {
    let mut tx = app.store.platform().await?;
    tx.find_tenant(id).await?;
    tx.set_quotas(id, &quotas).await?;
    let detail = json!({ "quotas": quotas });
    tx.audit(&Actor::Platform, "tenant.quotas", id, detail)
        .await?;
    tx.commit().await?;
    Ok(Answer(quotas))
}

/// How much the caller's tenant may have and ask.
#[utoipa::path(get, path = "/v1/quotas", tag = "tenants",
    responses((status = 200, body = Quotas), (status = "4XX", body = Problem)))]
async fn own_quotas(mut member: Member) -> ApiResult<Answer<Quotas>> {
    Ok(Answer(member.tx.quotas().await?))
}
