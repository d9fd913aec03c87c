//! Errors as RFC 9457 problem documents with a stable `type`.

use std::any::Any;

use armour_api::Problem;
use armour_storage::StorageError;
use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, Response, StatusCode, header},
    middleware::Next,
    response::IntoResponse,
};

/// What an operation answers when it cannot do what it was asked.
#[derive(Debug, Clone)]
pub struct ApiError {
    status: StatusCode,
    kind: &'static str,
    detail: String,
    /// How to authenticate instead (RFC 9110, section 11.6.1).
    challenge: &'static str,
}

/// A handler's result.
pub type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    /// An error of a stable kind: `type` is `urn:armour:problem:<kind>`.
    pub fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            detail: detail.into(),
            challenge: "Bearer",
        }
    }

    /// The stable kind of problem.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Whether it would be the same for any other call.
    pub fn is_unavailable(&self) -> bool {
        self.status == StatusCode::SERVICE_UNAVAILABLE
    }

    /// What is wrong, for people.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// 400: the request is not understood.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid-request", detail)
    }

    /// 401: no or no valid credentials.
    pub fn unauthenticated(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail)
    }

    /// 401 of a kind, with the challenge of another scheme than Bearer.
    pub fn unauthenticated_by(
        kind: &'static str,
        detail: impl Into<String>,
        challenge: &'static str,
    ) -> Self {
        Self {
            challenge,
            ..Self::new(StatusCode::UNAUTHORIZED, kind, detail)
        }
    }

    /// 403: valid credentials that may not do this.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// 404: it does not exist, or is another tenant's.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", detail)
    }

    /// 409: the state of things does not allow it.
    pub fn conflict(kind: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, kind, detail)
    }

    /// 500: our fault; the cause is logged, not shown.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "internal error");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "something went wrong on our side",
        )
    }
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::NotFound => Self::not_found("no such resource"),
            StorageError::Exists(_) => Self::conflict("already-exists", "it exists already"),
            StorageError::OverQuota(..) => {
                Self::new(StatusCode::FORBIDDEN, "over-quota", error.to_string())
            }
            // A deleted tenant has nothing more.
            StorageError::Shredded => Self::not_found("no such resource"),
            StorageError::Database(cause) => {
                tracing::error!(%cause, "database");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "unavailable",
                    "the database cannot be reached; try again",
                )
            }
            other => Self::internal(other),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response<Body> {
        let problem = Problem {
            r#type: format!("urn:armour:problem:{}", self.kind),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail,
            request_id: None,
        };
        let mut response = (self.status, axum::Json(&problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(
                    header::WWW_AUTHENTICATE,
                    HeaderValue::from_static(self.challenge),
                );
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        // `stamp` adds the request's id to it.
        response.extensions_mut().insert(problem);
        response
    }
}

/// Writes the request's id into problem documents, and turns the framework's
/// own bare errors (405, for example) into problem documents.
pub async fn stamp(request: Request, next: Next) -> Response<Body> {
    let id = request
        .headers()
        .get("x-request-id")
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let mut response = next.run(request).await;
    if response.status().is_client_error() && response.extensions().get::<Problem>().is_none() {
        let headers = std::mem::take(response.headers_mut());
        let status = response.status();
        let kind = if status == StatusCode::METHOD_NOT_ALLOWED {
            "method-not-allowed"
        } else {
            "http"
        };
        let reason = status.canonical_reason().unwrap_or("error").to_lowercase();
        response = ApiError::new(status, kind, reason).into_response();
        if let Some(allow) = headers.get(header::ALLOW) {
            response.headers_mut().insert(header::ALLOW, allow.clone());
        }
    }
    if let Some(mut problem) = response.extensions_mut().remove::<Problem>() {
        problem.request_id = id;
        if let Ok(body) = serde_json::to_vec(&problem) {
            response.headers_mut().remove(header::CONTENT_LENGTH);
            *response.body_mut() = Body::from(body);
        }
    }
    response
}

/// The answer to a request whose handler panicked.
pub fn panicked(_: Box<dyn Any + Send + 'static>) -> Response<Body> {
    ApiError::internal("a handler panicked").into_response()
}
