//! `/v1/enrolment-tokens` and `/v1/enrol`: how an agent becomes an endpoint.

use armour_api::{
    CreatedSecret, Endpoint, Enrol, EnrolmentToken, NewEnrolmentToken, Page, Problem, Role,
};
use armour_storage::{Actor, NewEndpoint, NewEvent, StorageError};
use axum::{Json as Answer, extract::State, http::StatusCode, http::request::Parts};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{Duration, Utc};
use serde_json::json;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    auth::{self, Operator},
    extract::{Cursor, Json, Params, check_text},
    problem::{ApiError, ApiResult},
    state::App,
    token::{self, Kind},
};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(enrol))
}

/// Creates an enrolment token: one use, expiring, shown this once.
#[utoipa::path(post, path = "/v1/enrolment-tokens", tag = "enrolment",
    request_body = NewEnrolmentToken,
    responses((status = 201, body = CreatedSecret), (status = "4XX", body = Problem)))]
async fn create(
    mut operator: Operator,
    Json(new): Json<NewEnrolmentToken>,
) -> ApiResult<(StatusCode, Answer<CreatedSecret>)> {
    let seconds = new.expires_in_s.unwrap_or(3600);
    if !(60..=604_800).contains(&seconds) {
        return Err(ApiError::invalid("expires_in_s must be from 60 to 604800"));
    }
    let actor = operator.actor();
    let tx = &mut operator.tx;
    let (text, token) = token::mint(Kind::Enrolment, tx.tenant_id());
    let expires = Utc::now() + Duration::seconds(seconds.into());
    tx.create_enrolment_token(token.id, new.role, new.party_id, &token.hash, expires)
        .await?;
    let detail = json!({ "role": new.role, "party_id": new.party_id, "expires_at": expires });
    tx.audit(actor, "enrolment-token.create", token.id, detail)
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

/// Lists enrolment tokens, without their secrets.
#[utoipa::path(get, path = "/v1/enrolment-tokens", tag = "enrolment", params(Cursor),
    responses((status = 200, body = Page<EnrolmentToken>), (status = "4XX", body = Problem)))]
async fn list(
    mut operator: Operator,
    Params(cursor): Params<Cursor>,
) -> ApiResult<Answer<Page<EnrolmentToken>>> {
    Ok(Answer(
        operator.tx.list_enrolment_tokens(cursor.cursor).await?,
    ))
}

/// Enrols an agent; the bearer token is the enrolment token.
#[utoipa::path(post, path = "/v1/enrol", tag = "enrolment", request_body = Enrol,
    responses((status = 201, body = Endpoint), (status = "4XX", body = Problem)))]
async fn enrol(
    State(app): State<App>,
    parts: Parts,
    Json(new): Json<Enrol>,
) -> ApiResult<(StatusCode, Answer<Endpoint>)> {
    let invalid = || ApiError::unauthenticated("the enrolment token is not valid, or was used");
    let token = token::parse(auth::bearer(&parts)?)
        .filter(|token| token.kind == Kind::Enrolment)
        .ok_or_else(invalid)?;
    check_text("name", &new.name, 100)?;
    check_text("version", &new.version, 50)?;
    let signing_key = key("signing_key", &new.signing_key)?;
    let kem_key = key("kem_key", &new.kem_key)?;
    ed25519_dalek::VerifyingKey::from_bytes(&signing_key)
        .ok()
        .filter(|key| !key.is_weak())
        .ok_or_else(|| ApiError::invalid("signing_key is not an Ed25519 public key"))?;
    let mut tx = app.store.tenant(token.tenant).await?;
    let (role, party) = tx
        .spend_enrolment_token(token.id, &token.hash, Utc::now())
        .await
        .map_err(|error| match error {
            StorageError::NotFound => invalid(),
            other => other.into(),
        })?;
    match (role, &new.address) {
        (Role::Producer, Some(address)) => check_address(address)?,
        (Role::Producer, None) => {
            return Err(ApiError::invalid("a producer's endpoint needs an address"));
        }
        (Role::Consumer, Some(_)) => {
            return Err(ApiError::invalid("a consumer's endpoint has no address"));
        }
        (Role::Consumer, None) => {}
    }
    let endpoint = tx
        .create_endpoint(&NewEndpoint {
            id: Uuid::now_v7(),
            role,
            party,
            name: &new.name,
            signing_key: &signing_key,
            kem_key: &kem_key,
            address: new.address.as_deref(),
            version: &new.version,
        })
        .await?;
    let detail = json!({ "role": role, "party_id": party, "signing_key": new.signing_key });
    tx.audit(
        Actor::Enrolment(token.id),
        "endpoint.enrol",
        endpoint.id,
        detail,
    )
    .await?;
    tx.record_event(&NewEvent {
        kind: "endpoint.enrolled",
        endpoint: Some(endpoint.id),
        detail: json!({ "role": role, "name": endpoint.name }),
        ..Default::default()
    })
    .await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Answer(endpoint)))
}

fn key(field: &str, text: &str) -> ApiResult<[u8; 32]> {
    STANDARD
        .decode(text)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| ApiError::invalid(format!("{field} must be 32 bytes in base64")))
}

fn check_address(address: &str) -> ApiResult<()> {
    let uri: Option<http::Uri> = address.parse().ok().filter(|_| address.len() <= 300);
    match uri {
        Some(uri)
            if matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.authority().is_some_and(|a| !a.as_str().contains('@'))
                && matches!(uri.path(), "" | "/")
                && uri.query().is_none() =>
        {
            Ok(())
        }
        _ => Err(ApiError::invalid(
            "address must be http://host:port or https://host:port",
        )),
    }
}
