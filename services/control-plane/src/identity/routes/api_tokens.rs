//! `/v1/api-tokens`: keys of programs and people, scoped by role.

use std::sync::Arc;

use armour_api::{
    AccessRole, ApiToken, CreatedSecret, NewApiToken, Page, ProblemType, RotateApiToken,
};
use armour_storage::{Counted, IdentityAction, NewToken, StorageError};
use axum::{Json as Answer, extract::FromRef, http::StatusCode};
use chrono::{DateTime, Duration, Utc};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    http::{
        extract::{Cursor, Id, Json, Params, check_text},
        problem::{ApiError, ApiResult},
    },
    identity::{
        authn::{Authn, Member},
        token::{self, Kind},
    },
};

type Created = (StatusCode, Answer<CreatedSecret>);

pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<Authn>: FromRef<S>,
{
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(revoke))
        .routes(routes!(rotate))
}

/// Creates a token, which is shown this once.
#[utoipa::path(post, path = "/v1/api-tokens", tag = "api-tokens", request_body = NewApiToken,
    extensions(("x-problems" = json!([ProblemType::OverQuota]))),
    responses((status = 201, body = CreatedSecret)))]
async fn create(mut member: Member, Json(new): Json<NewApiToken>) -> ApiResult<Created> {
    check_text("name", &new.name, 100)?;
    if matches!(new.role, AccessRole::PlatformAdmin | AccessRole::Endpoint) {
        return Err(ApiError::invalid(
            "role must be tenant-admin, operator or auditor",
        ));
    }
    let expires_at = end_after(member.tx.now(), new.expires_in_s)?;
    member.tx.quotas().check(Counted::ApiTokens).await?;
    mint(member, &new.name, new.role, expires_at, None).await
}

/// Lists tokens, without their secrets.
#[utoipa::path(get, path = "/v1/api-tokens", tag = "api-tokens", params(Cursor),
    responses((status = 200, body = Page<ApiToken>)))]
async fn list(
    mut member: Member,
    Params(cursor): Params<Cursor>,
) -> ApiResult<Answer<Page<ApiToken>>> {
    Ok(Answer(member.tx.api_tokens().list(cursor.cursor).await?))
}

/// Revokes a token.
#[utoipa::path(delete, path = "/v1/api-tokens/{id}", tag = "api-tokens",
    params(("id" = Uuid, Path)),
    responses((status = 204)))]
async fn revoke(mut member: Member, Id(id): Id) -> ApiResult<StatusCode> {
    let actor = member.actor();
    member.tx.api_tokens().revoke(id).await?;
    member
        .tx
        .audit_log()
        .append(&actor, IdentityAction::ApiTokenRevoke { id })
        .await?;
    member.tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Replaces a token by one of the same name and role; the earlier one works on
/// for the overlap, so that nothing has to be changed at the same moment.
#[utoipa::path(post, path = "/v1/api-tokens/{id}/rotate", tag = "api-tokens",
    params(("id" = Uuid, Path)), request_body = RotateApiToken,
    extensions(("x-problems" = json!([ProblemType::OverQuota]))),
    responses((status = 201, body = CreatedSecret)))]
async fn rotate(
    mut member: Member,
    Id(id): Id,
    Json(ask): Json<RotateApiToken>,
) -> ApiResult<Created> {
    if ask.overlap_s > 2_592_000 {
        return Err(ApiError::invalid("overlap_s must be from 0 to 2592000"));
    }
    let now = member.tx.now();
    let earlier = member.tx.api_tokens().find(id).await?;
    if !earlier.is_live(now) {
        return Err(StorageError::NotFound.into());
    }
    let until = now + Duration::seconds(ask.overlap_s.into());
    member.tx.api_tokens().expire(id, until).await?;
    member.tx.quotas().check_rotation().await?;
    // A rotation by itself does not prolong what was limited.
    let expires_at = end_after(now, ask.expires_in_s)?.or(earlier.expires_at);
    let replaces = Some((id, until));
    mint(member, &earlier.name, earlier.role, expires_at, replaces).await
}

fn end_after(now: DateTime<Utc>, seconds: Option<u32>) -> ApiResult<Option<DateTime<Utc>>> {
    match seconds {
        None => Ok(None),
        Some(life @ 60..=63_072_000) => Ok(Some(now + Duration::seconds(life.into()))),
        Some(_) => Err(ApiError::invalid(
            "expires_in_s must be from 60 to 63072000",
        )),
    }
}

async fn mint(
    mut member: Member,
    name: &str,
    role: AccessRole,
    expires_at: Option<DateTime<Utc>>,
    replaces: Option<(Uuid, DateTime<Utc>)>,
) -> ApiResult<Created> {
    let actor = member.actor();
    let (text, token) = token::mint(Kind::Api, &member.tx);
    member
        .tx
        .api_tokens()
        .create(&NewToken {
            id: token.id,
            name,
            role,
            hash: &token.hash,
            expires_at,
        })
        .await?;
    let id = token.id;
    let action = match replaces {
        None => IdentityAction::ApiTokenCreate {
            id,
            name,
            role,
            expires_at,
        },
        Some((replaces, overlap_until)) => IdentityAction::ApiTokenRotate {
            id,
            name,
            role,
            replaces,
            overlap_until,
        },
    };
    member.tx.audit_log().append(&actor, action).await?;
    member.tx.commit().await?;
    Ok((
        StatusCode::CREATED,
        Answer(CreatedSecret { id, token: text }),
    ))
}
