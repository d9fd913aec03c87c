//! Calls that change something are carried through, whatever becomes of their callers; and they
//! are done again if of two transactions that waited for each other the database has ended
//! theirs. Nothing of them has happened then.

use armour_storage::Origin;
use axum::{
    body::{Body, Bytes, HttpBody, to_bytes},
    extract::Request,
    http::{header::HeaderName, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tracing::Instrument;

use super::{
    BODY_LIMIT,
    problem::{ApiError, Conflict},
};

/// How often a call is done again. One that is in the way of so many others is told so.
pub const MAX_REPEATS: usize = 4;
/// What authenticates with it can do so once. Such calls are repeated where they are gathered.
const DPOP: HeaderName = HeaderName::from_static("dpop");

/// Carries a call through, and repeats it.
pub async fn repeat(request: Request, next: Next) -> Response {
    let length = request.body().size_hint().exact();
    let is_short = length.is_some_and(|length| length <= BODY_LIMIT as u64);
    if request.method().is_safe() || request.headers().contains_key(DPOP) || !is_short {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_LIMIT).await else {
        return ApiError::invalid("the body broke off").into_response();
    };
    let origin = Origin::current().unwrap_or_default();
    let done = origin.scope(run(parts, body, next));
    let done = tokio::spawn(done.in_current_span()).await;
    match done.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(response) => response,
        // `panicked` answers it.
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        Err(Err(cancelled)) => ApiError::internal(cancelled).into_response(),
    }
}

async fn run(parts: Parts, body: Bytes, next: Next) -> Response {
    let mut repeats = 0;
    loop {
        let request = Request::from_parts(parts.clone(), Body::from(body.clone()));
        let response = next.clone().run(request).await;
        if repeats == MAX_REPEATS || response.extensions().get::<Conflict>().is_none() {
            return response;
        }
        repeats += 1;
    }
}
