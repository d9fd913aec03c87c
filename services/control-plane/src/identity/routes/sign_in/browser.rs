//! What a sign-in says to the browser.

use axum::{
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use axum_extra::extract::CookieJar;

use crate::{
    http::problem::{ApiError, ApiResult},
    identity::authn::cookie,
};

/// The cookie that holds a sign-in between its two redirects.
pub(super) const FLOW_COOKIE: &str = "__Host-armour-sign-in";

/// A person's browser is sent back to the console, which says what went wrong; a
/// program gets the problem as it is.
pub(super) fn for_people(parts: &Parts, error: ApiError) -> ApiResult<Response> {
    let accept = parts.headers.get(header::ACCEPT);
    let is_page = accept
        .and_then(|value| value.to_str().ok())
        .is_some_and(|text| text.contains("text/html"));
    if !is_page {
        return Err(error);
    }
    tracing::info!(
        kind = error.kind().name(),
        detail = error.detail(),
        "a sign-in failed"
    );
    let erased = CookieJar::new().add(cookie::erase(FLOW_COOKIE));
    redirect(&format!("/?failed={}", error.kind()), erased)
}

/// Sends the browser on, with cookies.
///
/// # Errors
/// If the address cannot be in a header.
pub(super) fn redirect(to: &str, cookies: CookieJar) -> ApiResult<Response> {
    let headers = [
        (
            header::LOCATION,
            HeaderValue::from_str(to).map_err(ApiError::internal)?,
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((StatusCode::SEE_OTHER, headers, cookies).into_response())
}
