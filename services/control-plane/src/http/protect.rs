//! What browsers and proxies are told not to do with answers.

use axum::{
    extract::{Request, State},
    http::{HeaderName, HeaderValue, header},
    middleware::Next,
    response::Response,
};

/// Browsers come back by TLS only, for a year (RFC 6797).
const TRANSPORT: (HeaderName, HeaderValue) = (
    header::STRICT_TRANSPORT_SECURITY,
    HeaderValue::from_static("max-age=31536000"),
);

/// Nobody keeps an answer of the API, unless it says for how long: any may hold a token, a
/// secret, or what only its caller may see (RFC 9111, section 5.2.2.5).
pub async fn store_nothing(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let kept = headers.entry(header::CACHE_CONTROL);
    kept.or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Tells browsers to come by TLS only, where it is this listener that speaks it.
pub async fn transport(State(is_tls): State<bool>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if is_tls {
        let (name, value) = TRANSPORT;
        response.headers_mut().insert(name, value);
    }
    response
}
