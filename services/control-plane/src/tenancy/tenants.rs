//! `/v1/tenants`: for the platform's administrator.

use std::sync::Arc;

use armour_api::{
    AccessRole, CreatedTenant, NewTenant, Overview, Page, ProblemType, Quotas, Tenant,
};
use armour_storage::{Actor, NewToken, Store, TenancyAction, Tx};
use axum::{
    Json as Answer,
    extract::{FromRef, State},
    http::StatusCode,
};
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    http::{
        etag::{IfMatch, Tagged, tagged},
        extract::{Id, Json, Params, check_text},
        problem::ApiResult,
    },
    identity::{
        authn::{Authn, Member, Platform},
        token::{self, Kind},
    },
    ledger::disconnect::{Scope, cut},
};

pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<Authn>: FromRef<S>,
    Store: FromRef<S>,
{
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(get, delete))
        .routes(routes!(get_quotas, set_quotas))
        .routes(routes!(overview))
        .routes(routes!(own_quotas))
}

/// Creates a tenant and its administrator's first token, which is shown this once.
#[utoipa::path(post, path = "/v1/tenants", tag = "tenants", request_body = NewTenant,
    extensions(("x-problems" = json!([ProblemType::AlreadyExists]))),
    responses((status = 201, body = CreatedTenant)))]
async fn create(
    platform: Platform,
    State(store): State<Store>,
    Json(new): Json<NewTenant>,
) -> ApiResult<(StatusCode, Answer<CreatedTenant>)> {
    check_text("name", &new.name, 100)?;
    let id = store.new_id();
    let action = TenancyAction::Create {
        id,
        name: &new.name,
    };
    let mut tx = platform.begin(&store).await?;
    tx.audit_log().append(&Actor::Platform, action).await?;
    let tenant = tx.tenants().create(id, &new.name).await?;
    let (text, token) = token::mint(Kind::Api, &tx);
    tx.api_tokens()
        .create(&NewToken {
            id: token.id,
            name: "first",
            role: AccessRole::TenantAdmin,
            hash: &token.hash,
            expires_at: None,
        })
        .await?;
    tx.audit_log().append(&Actor::Platform, action).await?;
    tx.commit().await?;
    Ok((
        StatusCode::CREATED,
        Answer(CreatedTenant {
            tenant,
            token: text,
        }),
    ))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// `next` of the page before.
    cursor: Option<Uuid>,
    /// Part of the name or the id, in any case.
    search: Option<String>,
}

/// Lists tenants.
#[utoipa::path(get, path = "/v1/tenants", tag = "tenants", params(Filter),
    responses((status = 200, body = Page<Tenant>)))]
async fn list(
    _: Platform,
    State(store): State<Store>,
    Params(filter): Params<Filter>,
) -> ApiResult<Answer<Page<Tenant>>> {
    let search = filter.search.as_deref();
    if let Some(search) = search {
        check_text("search", search, 100)?;
    }
    let mut tx = store.platform().await?;
    Ok(Answer(tx.tenants().list(search, filter.cursor).await?))
}

/// One tenant.
#[utoipa::path(get, path = "/v1/tenants/{id}", tag = "tenants", params(("id" = Uuid, Path)),
    responses((status = 200, body = Tenant)))]
async fn get(_: Platform, State(store): State<Store>, Id(id): Id) -> ApiResult<Answer<Tenant>> {
    Ok(Answer(store.platform().await?.tenants().find(id).await?))
}

/// Deletes a tenant: all of its credentials end, its bundles are disconnected, and
/// its key is shredded, so that nothing of its secrets can ever be opened again.
#[utoipa::path(delete, path = "/v1/tenants/{id}", tag = "tenants", params(("id" = Uuid, Path)),
    responses((status = 204)))]
async fn delete(_: Platform, State(store): State<Store>, Id(id): Id) -> ApiResult<StatusCode> {
    let mut tx = store.platform().await?;
    let name = tx.tenants().find(id).await?.name;
    let action = TenancyAction::Delete { id, name: &name };
    tx.audit_log().append(&Actor::Platform, action).await?;
    tx.tenants().delete(id).await?;
    tx.bind(id).await?;
    tx.api_tokens().revoke_all().await?;
    tx.enrolment_tokens().revoke_unused().await?;
    tx.sessions().end(&Default::default()).await?;
    tx.endpoints().revoke_all().await?;
    let ended = cut(&mut tx, Scope::All).await?;
    tx.webhooks().delete_all().await?;
    let reason = "tenant deleted";
    ended.tell(&mut tx, &Actor::Platform, reason).await?;
    tx.audit_log().append(&Actor::Platform, action).await?;
    // After the last entry: without its key the log takes no more.
    tx.secrets().shred().await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How much a tenant may have and ask; its `ETag` changes with it.
#[utoipa::path(get, path = "/v1/tenants/{id}/quotas", tag = "tenants",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = Quotas)))]
async fn get_quotas(
    _: Platform,
    State(store): State<Store>,
    Id(id): Id,
) -> ApiResult<Tagged<Quotas>> {
    Ok(tagged(read_tenant(&store, id).await?.quotas().get().await?))
}

/// Sets how much a tenant may have and ask; what it has already stays. With
/// `If-Match` only if nobody has changed it since.
#[utoipa::path(put, path = "/v1/tenants/{id}/quotas", tag = "tenants",
    params(("id" = Uuid, Path),
           ("If-Match" = Option<String>, Header, description = "Their `ETag` as read")),
    request_body = Quotas,
    responses((status = 200, body = Quotas)))]
async fn set_quotas(
    _: Platform,
    State(store): State<Store>,
    Id(id): Id,
    read: IfMatch,
    Json(quotas): Json<Quotas>,
) -> ApiResult<Tagged<Quotas>> {
    let mut tx = store.platform().await?;
    let before = tx.quotas().lock(id).await?;
    read.check(&before)?;
    tx.quotas().set(id, &quotas).await?;
    let action = TenancyAction::SetQuotas {
        id,
        before: &before,
        after: &quotas,
    };
    tx.audit_log().append(&Actor::Platform, action).await?;
    // The tenant's own people see that it may have and ask more or less.
    tx.bind(id).await?;
    tx.audit_log().append(&Actor::Platform, action).await?;
    tx.commit().await?;
    Ok(tagged(quotas))
}

/// A tenant at a glance: how much, and how it fares. The platform's people see
/// these figures and nothing that the tenant named or wrote.
#[utoipa::path(get, path = "/v1/tenants/{id}/overview", tag = "tenants",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = Overview)))]
async fn overview(
    _: Platform,
    State(store): State<Store>,
    Id(id): Id,
) -> ApiResult<Answer<Overview>> {
    Ok(Answer(
        read_tenant(&store, id).await?.overview(store.now()).await?,
    ))
}

/// Begins a transaction of the platform's that reads of a tenant.
async fn read_tenant(store: &Store, tenant: Uuid) -> ApiResult<Tx> {
    let mut tx = store.platform().await?;
    tx.tenants().find(tenant).await?;
    tx.bind(tenant).await?;
    Ok(tx)
}

/// How much the caller's tenant may have and ask.
#[utoipa::path(get, path = "/v1/quotas", tag = "tenants",
    responses((status = 200, body = Quotas)))]
async fn own_quotas(mut member: Member) -> ApiResult<Answer<Quotas>> {
    Ok(Answer(member.tx.quotas().get().await?))
}
