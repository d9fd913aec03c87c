//! What a sign-in says to the browser.

use axum::{
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use axum_extra::extract::CookieJar;

use super::flow_cookie::FlowCookie;
use crate::http::problem::{ApiError, ApiResult};

/// A person's browser is sent back to the console, which says what went wrong; a
/// program gets the problem as it is. What was kept of the sign-in is erased.
pub(super) fn for_people(
    parts: &Parts,
    flow: Option<FlowCookie>,
    error: ApiError,
) -> ApiResult<Response> {
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
    let erased = flow
        .into_iter()
        .fold(CookieJar::new(), |jar, flow| jar.add(flow.erase()));
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
