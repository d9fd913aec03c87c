//! `Idempotency-Key` on creating calls: a repeated call gets the first one's
//! answer. One layer for all routes; the answer is kept sealed, since it may
//! hold a secret that is shown only once.

use armour_api::ProblemType;
use armour_storage::{Replay, Store, Tx};
use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use chrono::Duration;
use sha2::{Digest, Sha256};

use super::{
    BODY_LIMIT,
    problem::{ApiError, ApiResult},
};

const HEADER: &str = "idempotency-key";

/// Says whose keys a call may use.
pub trait KeyOwners: Clone + Send + Sync + 'static {
    /// The caller, if its credential is accepted; keys of anybody else are ignored.
    ///
    /// # Errors
    /// If that cannot be found out now.
    fn find(&self, parts: &Parts) -> impl Future<Output = ApiResult<Option<KeyOwner>>> + Send;
}

/// Whose keys a call uses.
pub struct KeyOwner {
    /// Bound to the caller's tenant.
    pub tx: Tx,
    /// The SHA-256 of the credential: another's key is another key.
    pub credential: [u8; 32],
}

/// Answers a repeated creating call from the first one's answer.
pub async fn replay<O: KeyOwners>(
    State((store, owners)): State<(Store, O)>,
    request: Request,
    next: Next,
) -> Response {
    if request.method() != Method::POST || !request.headers().contains_key(HEADER) {
        return next.run(request).await;
    }
    with_key(&store, &owners, request, next)
        .await
        .unwrap_or_else(IntoResponse::into_response)
}

async fn with_key(
    store: &Store,
    owners: &impl KeyOwners,
    request: Request,
    next: Next,
) -> ApiResult<Response> {
    let (parts, body) = request.into_parts();
    let key = parts
        .headers
        .get(HEADER)
        .and_then(|value| value.to_str().ok())
        .filter(|key| (1..=255).contains(&key.len()))
        .ok_or_else(|| ApiError::invalid("Idempotency-Key must have 1 to 255 ASCII characters"))?
        .to_owned();
    let body = to_bytes(body, BODY_LIMIT)
        .await
        .map_err(|_| ApiError::new(ProblemType::TooLarge, "the body is too large"))?;
    let Some(KeyOwner { mut tx, credential }) = owners.find(&parts).await? else {
        return Ok(next.run(Request::from_parts(parts, Body::from(body))).await);
    };
    let tenant = tx.tenant_id();
    let fingerprint = Sha256::new()
        .chain_update(credential)
        .chain_update(parts.uri.path())
        .chain_update([0])
        .chain_update(&body)
        .finalize();
    let now = tx.now();
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
            ProblemType::IdempotencyKeyReused,
            "this Idempotency-Key was used for another call",
        )),
        Replay::Pending => Err(ApiError::new(
            ProblemType::IdempotencyKeyPending,
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
            let mut tx = store.tenant(tenant).await?;
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
