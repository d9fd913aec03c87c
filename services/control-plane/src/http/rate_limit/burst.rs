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

use super::{slot::RateLimitSlot, source::Source};
use crate::http::problem::ApiError;

/// Signed calls without any credentials. Who signed them is known once they are read: they are
/// limited by that, each where it is handled.
const SIGNED: [&str; 4] = [
    "/v1/endpoint/links",
    "/v1/endpoint/presence",
    "/v1/endpoint/starts",
    "/v1/endpoint/token",
];

/// Counts requests by the SHA-256 of their credentials or, without any, by where they come
/// from.
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
    let counted = !SIGNED.contains(&request.uri().path());
    if counted && limiter.0.check_key(&caller(&request)).is_err() {
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

fn caller(request: &Request) -> [u8; 32] {
    let headers = request.headers();
    let credentials = [header::AUTHORIZATION, header::COOKIE].map(|name| headers.get(name));
    let mut hash = Sha256::new();
    for credential in credentials {
        hash.update(credential.map_or(&b""[..], |value| value.as_bytes()));
    }
    // Each source has its own share.
    if credentials.iter().all(Option::is_none) {
        hash.update(Source::of(request.extensions()).bytes());
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::{body::Body, extract::ConnectInfo};

    use super::*;

    fn from(address: &str, credential: Option<&str>) -> [u8; 32] {
        let mut request = Request::new(Body::empty());
        let peer: SocketAddr = address.parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(peer));
        if let Some(credential) = credential {
            let value = credential.parse().unwrap();
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        caller(&request)
    }

    #[test]
    fn who_shows_no_credentials_is_counted_by_source_and_others_wherever_they_call_from() {
        let one = from("192.0.2.1:1000", None);
        assert_eq!(one, from("192.0.2.1:2000", None));
        assert_ne!(one, from("192.0.2.2:1000", None));
        assert_eq!(from("[2001:db8::1]:1", None), from("[2001:db8::2]:1", None));
        let token = from("192.0.2.1:1000", Some("Bearer a"));
        assert_eq!(token, from("192.0.2.2:1000", Some("Bearer a")));
        assert_ne!(token, one);
    }
}
