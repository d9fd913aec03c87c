//! Extractors whose refusals are problem documents.

use armour_api::ProblemType;
use axum::{
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::request::Parts,
};
use serde::{Deserialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::http::problem::{ApiError, ApiResult};

/// A JSON body.
pub struct Json<T>(pub T);

/// The `{id}` of the path. What is not a UUID names nothing.
pub struct Id(pub Uuid);

/// Several UUIDs of the path, in its order.
pub struct Ids<const N: usize>(pub [Uuid; N]);

/// The query string.
pub struct Params<T>(pub T);

/// Where a page of a list begins.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Cursor {
    /// `next` of the page before.
    pub cursor: Option<Uuid>,
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> ApiResult<Self> {
        let axum::Json(value) =
            axum::Json::from_request(request, state)
                .await
                .map_err(|error| {
                    ApiError::new(ProblemType::InvalidBody, error.body_text())
                        .with_status(error.status())
                })?;
        Ok(Self(value))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        let Path(id) = Path::<Uuid>::from_request_parts(parts, state)
            .await
            .map_err(|_| ApiError::not_found("no such resource"))?;
        Ok(Self(id))
    }
}

impl<S: Send + Sync, const N: usize> FromRequestParts<S> for Ids<N> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        let none = || ApiError::not_found("no such resource");
        let Path(ids) = Path::<Vec<Uuid>>::from_request_parts(parts, state)
            .await
            .map_err(|_| none())?;
        Ok(Self(ids.try_into().map_err(|_| none())?))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        let Query(value) = Query::from_request_parts(parts, state)
            .await
            .map_err(|error| ApiError::invalid(error.body_text()))?;
        Ok(Self(value))
    }
}

/// Checks a text that people will read: its length, and no control characters.
pub fn check_text(field: &str, text: &str, limit: usize) -> ApiResult<()> {
    let length = text.chars().count();
    if length == 0 || length > limit {
        return Err(ApiError::invalid(format!(
            "{field} must have 1 to {limit} characters"
        )));
    }
    if text.chars().any(char::is_control) || text.trim().len() != text.len() {
        return Err(ApiError::invalid(format!(
            "{field} must not hold control characters nor begin or end with a space"
        )));
    }
    Ok(())
}
