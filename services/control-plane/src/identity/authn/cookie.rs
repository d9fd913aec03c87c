//! Cookies of this host that scripts cannot read.

use axum::http::{HeaderValue, header, request::Parts};

use crate::{
    http::problem::{ApiError, ApiResult},
    identity::token::{self, Kind, Token},
};

/// The session's cookie. The prefix has browsers take it over TLS and for this
/// host and all paths only.
pub const SESSION: &str = "__Host-armour-session";

/// The session cookie's token, if the request has one.
pub fn session(parts: &Parts) -> Option<Token> {
    token::parse(value(parts, SESSION)?).filter(|token| token.kind == Kind::Session)
}

/// A cookie's value.
pub fn value<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    parts
        .headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// A `Set-Cookie` for this host, out of reach of scripts; `None` erases it.
///
/// # Errors
/// If the value cannot be in a header.
pub fn set(name: &str, value: Option<&str>, max_age: i64) -> ApiResult<HeaderValue> {
    let max_age = if value.is_some() { max_age } else { 0 };
    let value = value.unwrap_or_default();
    // Lax: the provider's redirect back is a navigation from another site.
    HeaderValue::from_str(&format!(
        "{name}={value}; Path=/; Max-Age={max_age}; Secure; HttpOnly; SameSite=Lax"
    ))
    .map_err(ApiError::internal)
}
