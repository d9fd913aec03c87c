//! Each replica's own limit, which holds off floods before anything is looked up.

use std::{num::NonZeroU32, sync::Arc};

use armour_api::ProblemType;
use axum::{
    extract::{Request, State},
    http::header,
    middleware::Next,
    response::{IntoResponse, Response},
};
use governor::{DefaultKeyedRateLimiter, Quota};
use sha2::{Digest, Sha256};

use super::slot::RateLimitSlot;
use crate::http::problem::ApiError;

/// Counts requests by the SHA-256 of their credentials.
pub struct BurstLimiter(DefaultKeyedRateLimiter<[u8; 32]>);

impl BurstLimiter {
    /// Allows so many requests a second to each caller.
    pub fn new(per_second: u32) -> Self {
        let rate = NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN);
        Self(DefaultKeyedRateLimiter::keyed(Quota::per_second(rate)))
    }
}

/// Refuses a caller that floods this replica; tells others their tenant's rate.
pub async fn rate(
    State(limiter): State<Arc<BurstLimiter>>,
    mut request: Request,
    next: Next,
) -> Response {
    let mut hash = Sha256::new();
    for name in [header::AUTHORIZATION, header::COOKIE] {
        hash.update(
            request
                .headers()
                .get(name)
                .map_or(&b""[..], |v| v.as_bytes()),
        );
    }
    if limiter.0.check_key(&hash.finalize().into()).is_err() {
        return ApiError::new(ProblemType::RateLimited, "too many requests; wait a second")
            .into_response();
    }
    if limiter.0.len() > 100_000 {
        limiter.0.retain_recent();
    }
    let slot = RateLimitSlot::default();
    request.extensions_mut().insert(slot.clone());
    let mut response = next.run(request).await;
    if let Some(state) = slot.take() {
        state.write(&mut response);
    }
    response
}
