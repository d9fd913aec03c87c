//! How many requests one caller may make, how large and how slow.

use std::{num::NonZeroU32, time::Duration};

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use governor::{DefaultKeyedRateLimiter, Quota};
use sha2::{Digest, Sha256};

use crate::{BODY_LIMIT, problem::ApiError, state::App};

/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(15);

/// Reads the body before anything else happens: handlers begin their transaction
/// first, and a slow body must not hold a database connection.
pub async fn body(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match tokio::time::timeout(BODY_TIME, to_bytes(body, BODY_LIMIT)).await {
        Ok(Ok(body)) => next.run(Request::from_parts(parts, Body::from(body))).await,
        Ok(Err(_)) => ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            "the body is cut short or larger than 1 MiB",
        )
        .into_response(),
        Err(_) => ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "slow-body",
            "the body took longer than 15 s",
        )
        .into_response(),
    }
}

/// Counts requests by the SHA-256 of their credentials.
pub struct Limiter(DefaultKeyedRateLimiter<[u8; 32]>);

impl Limiter {
    /// Allows so many requests a second to each caller.
    pub fn new(per_second: u32) -> Self {
        let rate = NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN);
        Self(DefaultKeyedRateLimiter::keyed(Quota::per_second(rate)))
    }
}

/// Refuses a caller that asks too often.
pub async fn rate(State(app): State<App>, request: Request, next: Next) -> Response {
    let credentials = request.headers().get(header::AUTHORIZATION);
    let key = Sha256::digest(credentials.map_or(&b""[..], |value| value.as_bytes())).into();
    if app.limiter.0.check_key(&key).is_err() {
        return ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate-limited",
            "too many requests; wait a second",
        )
        .into_response();
    }
    if app.limiter.0.len() > 100_000 {
        app.limiter.0.retain_recent();
    }
    next.run(request).await
}
