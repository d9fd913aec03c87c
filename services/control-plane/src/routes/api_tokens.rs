//! `/v1/api-tokens`: operators' tokens.

use armour_api::{ApiToken, CreatedSecret, NewNamed, Page, Problem};
use axum::{Json as Answer, http::StatusCode};
use serde_json::json;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::Operator,
    extract::{Cursor, Id, Json, Params, check_text},
    problem::ApiResult,
    state::App,
    token::{self, Kind},
};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(revoke))
}

/// Creates a token, which is shown this once.
#[utoipa::path(post, path = "/v1/api-tokens", tag = "api-tokens", request_body = NewNamed,
    responses((status = 201, body = CreatedSecret), (status = "4XX", body = Problem)))]
async fn create(
    mut operator: Operator,
    Json(new): Json<NewNamed>,
) -> ApiResult<(StatusCode, Answer<CreatedSecret>)> {
    check_text("name", &new.name, 100)?;
    let actor = operator.actor();
    let (text, token) = token::mint(Kind::Operator, operator.tx.tenant_id());
    operator
        .tx
        .create_api_token(token.id, &new.name, &token.hash)
        .await?;
    operator
        .tx
        .audit(
            actor,
            "api-token.create",
            token.id,
            json!({ "name": new.name }),
        )
        .await?;
    operator.tx.commit().await?;
    Ok((
        StatusCode::CREATED,
        Answer(CreatedSecret {
            id: token.id,
            token: text,
        }),
    ))
}

/// Lists tokens, without their secrets.
#[utoipa::path(get, path = "/v1/api-tokens", tag = "api-tokens", params(Cursor),
    responses((status = 200, body = Page<ApiToken>), (status = "4XX", body = Problem)))]
async fn list(
    mut operator: Operator,
    Params(cursor): Params<Cursor>,
) -> ApiResult<Answer<Page<ApiToken>>> {
    Ok(Answer(operator.tx.list_api_tokens(cursor.cursor).await?))
}

/// Revokes a token.
#[utoipa::path(delete, path = "/v1/api-tokens/{id}", tag = "api-tokens",
    params(("id" = uuid::Uuid, Path)),
    responses((status = 204), (status = "4XX", body = Problem)))]
async fn revoke(mut operator: Operator, Id(id): Id) -> ApiResult<StatusCode> {
    let actor = operator.actor();
    operator.tx.revoke_api_token(id).await?;
    operator
        .tx
        .audit(actor, "api-token.revoke", id, json!({}))
        .await?;
    operator.tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
