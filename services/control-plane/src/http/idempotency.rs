//! `Idempotency-Key` on creating calls: a repeated call gets the first one's
//! answer. One layer for all routes; the answer is kept sealed, since it may
//! hold a secret that is shown only once.

use armour_api::{Problem, ProblemType};
use armour_storage::{IdempotencyClaim, Replay, Store, Tx};
use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use chrono::Duration;
use sha2::{Digest, Sha256};
use uuid::Uuid;

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

    /// Counts a call that is answered here, as its handler would have done.
    ///
    /// # Errors
    /// 429 `rate-limited`.
    fn count(&self, parts: &Parts, tenant: Uuid) -> impl Future<Output = ApiResult<()>> + Send;
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
    let (mut parts, body) = request.into_parts();
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
    if let Replay::First(claim) = claim {
        // Whoever commits the call's change says so in the same transaction.
        parts.extensions.insert(claim.clone());
        let request = Request::from_parts(parts, Body::from(body));
        return first(store, &claim, next.run(request).await).await;
    }
    owners.count(&parts, tenant).await?;
    match claim {
        Replay::Answer { status, response } => replayed(status, response.to_vec()),
        Replay::Other => Err(ApiError::new(
            ProblemType::IdempotencyKeyReused,
            "this Idempotency-Key was used for another call",
        )),
        Replay::AnswerLost => Err(ApiError::new(
            ProblemType::IdempotencyAnswerLost,
            "the first call with this Idempotency-Key was carried out, but its answer was lost; \
             look at what it made",
        )),
        Replay::First(_) | Replay::Pending => Err(ApiError::new(
            ProblemType::IdempotencyKeyPending,
            "the first call with this Idempotency-Key is still under way",
        )),
    }
}

/// The first call's answer, once it is kept.
async fn first(store: &Store, claim: &IdempotencyClaim, response: Response) -> ApiResult<Response> {
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, BODY_LIMIT)
        .await
        .map_err(ApiError::internal)?;
    let status = parts.status;
    let settled = async {
        let mut tx = store.tenant(claim.tenant()).await?;
        let keys = &mut tx.idempotency_keys();
        let is_free = !status.is_success() && keys.release(claim).await?;
        // One who could not be told what became of a change is not told so for ever.
        if !is_free && !status.is_server_error() {
            keys.settle(claim, status.as_u16().into(), &body).await?;
        }
        tx.commit().await
    };
    if let Err(error) = settled.await {
        // What was changed is changed, and known to be: the caller has its answer now, and
        // whoever repeats the call is told that there was one.
        tracing::error!(%error, "the answer to a call with an Idempotency-Key is not kept");
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn replayed(status: i32, response: Vec<u8>) -> ApiResult<Response> {
    let status = u16::try_from(status)
        .ok()
        .and_then(|status| StatusCode::from_u16(status).ok())
        .ok_or_else(|| ApiError::internal("a stored status out of range"))?;
    let media_type = match status.is_success() {
        true => "application/json",
        false => Problem::MEDIA_TYPE,
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (
            header::HeaderName::from_static("idempotency-replayed"),
            HeaderValue::from_static("true"),
        ),
    ];
    Ok((status, headers, response).into_response())
}
