//! `Idempotency-Key` on creating calls: a repeated call gets the first one's
//! answer. One layer for all routes; the answer is kept sealed, since it may
//! hold a secret that is shown only once.

use armour_storage::{Replay, StorageError};
use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use chrono::Duration;
use sha2::{Digest, Sha256};

use crate::{
    BODY_LIMIT, auth,
    problem::{ApiError, ApiResult},
    state::App,
    token::Kind,
};

const HEADER: &str = "idempotency-key";

/// Answers a repeated creating call from the first one's answer.
pub async fn replay(State(app): State<App>, request: Request, next: Next) -> Response {
    if request.method() != Method::POST || !request.headers().contains_key(HEADER) {
        return next.run(request).await;
    }
    with_key(app, request, next)
        .await
        .unwrap_or_else(IntoResponse::into_response)
}

async fn with_key(app: App, request: Request, next: Next) -> ApiResult<Response> {
    let (parts, body) = request.into_parts();
    let key = parts
        .headers
        .get(HEADER)
        .and_then(|value| value.to_str().ok())
        .filter(|key| (1..=255).contains(&key.len()))
        .ok_or_else(|| ApiError::invalid("Idempotency-Key must have 1 to 255 ASCII characters"))?
        .to_owned();
    // Keys belong to a tenant's member; the other calls check for themselves
    // whether they repeat (a draw supersedes, a report is compared).
    let Ok(token) = auth::credential(&parts) else {
        return Ok(next.run(Request::from_parts(parts, body)).await);
    };
    let body = to_bytes(body, BODY_LIMIT).await.map_err(|_| {
        ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            "the body is too large",
        )
    })?;
    let fingerprint = Sha256::new()
        .chain_update(token.hash)
        .chain_update(parts.uri.path())
        .chain_update([0])
        .chain_update(&body)
        .finalize();
    // Only who holds a live token may claim keys.
    let mut tx = app.store.tenant(token.tenant).await?;
    let known = match token.kind {
        Kind::Api => tx.api_tokens().find(token.id).await.map(|row| row.hash),
        Kind::Session => {
            let idle_since = app.now() - app.config.session_idle();
            let row = tx
                .sessions()
                .find_live(token.id, app.now(), idle_since)
                .await;
            row.map(|row| row.hash)
        }
        Kind::Enrolment => Err(StorageError::NotFound),
    };
    if !known.is_ok_and(|hash| hash == token.hash) {
        return Ok(next.run(Request::from_parts(parts, Body::from(body))).await);
    }
    let now = app.now();
    let claim = tx
        .idempotency_keys()
        .claim(
            &key,
            &fingerprint,
            now - Duration::minutes(1),
            now - Duration::days(1),
        )
        .await?;
    tx.commit().await?;
    match claim {
        Replay::Other => Err(ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency-key-reused",
            "this Idempotency-Key was used for another call",
        )),
        Replay::Pending => Err(ApiError::conflict(
            "idempotency-key-pending",
            "the first call with this Idempotency-Key is still under way",
        )),
        Replay::Answer { status, response } => {
            let status = u16::try_from(status)
                .ok()
                .and_then(|status| StatusCode::from_u16(status).ok())
                .ok_or_else(|| ApiError::internal("a stored status out of range"))?;
            let headers = [
                (
                    header::CONTENT_TYPE,
                    HeaderValue::from_static("application/json"),
                ),
                (
                    header::HeaderName::from_static("idempotency-replayed"),
                    HeaderValue::from_static("true"),
                ),
            ];
            Ok((status, headers, response.to_vec()).into_response())
        }
        Replay::First => {
            let response = next.run(Request::from_parts(parts, Body::from(body))).await;
            let (parts, body) = response.into_parts();
            let body = to_bytes(body, BODY_LIMIT)
                .await
                .map_err(ApiError::internal)?;
            let mut tx = app.store.tenant(token.tenant).await?;
            if parts.status.is_success() {
                let answer = (i32::from(parts.status.as_u16()), &body[..]);
                tx.idempotency_keys().settle(&key, Some(answer)).await?;
            } else {
                tx.idempotency_keys().settle(&key, None).await?;
            }
            tx.commit().await?;
            Ok(Response::from_parts(parts, Body::from(body)))
        }
    }
}
