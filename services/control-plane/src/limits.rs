//! How many requests one caller may make.

use std::num::NonZeroU32;

use axum::{
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use governor::{DefaultKeyedRateLimiter, Quota};
use sha2::{Digest, Sha256};

use crate::{problem::ApiError, state::App};

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
