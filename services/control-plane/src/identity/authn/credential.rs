//! The credentials that a request carries.

use armour_storage::StorageError;
use axum::http::{header, request::Parts};
use axum_extra::headers::{Authorization, HeaderMapExt, authorization::Bearer};

use super::cookie;
use crate::{
    http::problem::{ApiError, ApiResult},
    identity::token::{self, Kind, Token},
};

/// The bearer token of a request.
///
/// # Errors
/// 401 if there is none.
pub fn bearer(parts: &Parts) -> ApiResult<Bearer> {
    match parts.headers.typed_try_get::<Authorization<Bearer>>() {
        Ok(Some(Authorization(bearer))) => Ok(bearer),
        Ok(None) => Err(ApiError::unauthenticated(
            "an Authorization header is needed",
        )),
        Err(_) => Err(invalid()),
    }
}

/// A member's credential: an API token, or else the cookie of a session.
///
/// # Errors
/// 401 if there is none that could be one.
pub fn member_credential(parts: &Parts) -> ApiResult<Token> {
    let token = match cookie::session(parts) {
        Some(cookie) if !parts.headers.contains_key(header::AUTHORIZATION) => cookie,
        _ => token::parse(bearer(parts)?.token())
            .filter(|token| token.kind != Kind::Session)
            .ok_or_else(invalid)?,
    };
    Ok(token)
}

/// 401: the credentials are none, or not right.
pub fn invalid() -> ApiError {
    ApiError::unauthenticated("the credentials are not valid")
}

/// 403: credentials of another kind than the operation needs.
pub fn forbidden() -> ApiError {
    ApiError::forbidden("these credentials may not do this")
}

/// Unknown credentials are invalid ones: what exists is not told.
pub fn mask_not_found(error: StorageError) -> ApiError {
    match error {
        StorageError::NotFound => invalid(),
        other => other.into(),
    }
}
