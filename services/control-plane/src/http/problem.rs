//! Errors as RFC 9457 problem documents with a stable `type`.

use std::{any::Any, error::Error, time::Duration};

use armour_api::{Problem, ProblemType};
use armour_storage::StorageError;
use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, Response, StatusCode, header},
    middleware::Next,
    response::IntoResponse,
};
use parking_lot::Mutex;
use tokio::time::Instant;

/// A handler's result.
pub type ApiResult<T> = Result<T, ApiError>;

/// What an operation answers when it cannot do what it was asked. This is the one place
/// that turns errors into problem documents.
#[derive(Debug, Clone)]
pub struct ApiError {
    kind: ProblemType,
    status: StatusCode,
    detail: String,
    /// How to authenticate instead (RFC 9110, section 11.6.1).
    challenge: &'static str,
    /// After how many seconds to call again, if that may help.
    retry_after: u32,
    /// Whether it is that two transactions waited for each other.
    conflict: bool,
}

/// Marks an answer: nothing has happened, and the call may be done again at once.
#[derive(Debug, Clone, Copy)]
pub struct Conflict;

/// Why a domain does not do what it was asked: each variant is something that the caller
/// can act on, with a problem type of its own.
pub trait OperationError: Error {
    /// What the caller is told that it is.
    fn problem_type(&self) -> ProblemType;
}

impl<E: OperationError> From<E> for ApiError {
    fn from(error: E) -> Self {
        Self::new(error.problem_type(), error.to_string())
    }
}

impl ApiError {
    /// An error of a stable type, with what is wrong, for people.
    pub fn new(kind: ProblemType, detail: impl Into<String>) -> Self {
        Self {
            kind,
            status: StatusCode::from_u16(kind.status())
                .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            detail: detail.into(),
            challenge: "Bearer",
            retry_after: 1,
            conflict: false,
        }
    }

    /// With another status than its type's first.
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// With the challenge of another scheme than Bearer.
    pub fn with_challenge(self, challenge: &'static str) -> Self {
        Self { challenge, ..self }
    }

    /// To be called again after so many seconds.
    pub fn with_retry_after(self, retry_after: u32) -> Self {
        Self {
            retry_after,
            ..self
        }
    }

    /// The stable type of problem.
    pub fn kind(&self) -> ProblemType {
        self.kind
    }

    /// Whether nothing has happened, and the same call may succeed at once: of two
    /// transactions that waited for each other the database has ended its own.
    pub fn is_conflict(&self) -> bool {
        self.conflict
    }

    /// The problem document.
    pub fn problem(&self) -> Problem {
        Problem::new(self.kind.name(), self.status.as_u16(), &self.detail)
    }

    /// Whether it is for the caller to do something else, and not for us.
    pub fn is_refusal(&self) -> bool {
        self.status.is_client_error()
    }

    /// What is wrong, for people.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// 400: the request is not understood.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(ProblemType::InvalidRequest, detail)
    }

    /// 401: no or no valid credentials.
    pub fn unauthenticated(detail: impl Into<String>) -> Self {
        Self::new(ProblemType::Unauthenticated, detail)
    }

    /// 403: valid credentials that may not do this.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(ProblemType::Forbidden, detail)
    }

    /// 404: it does not exist, or is another tenant's.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(ProblemType::NotFound, detail)
    }

    /// 503: what is needed is not there now.
    fn unavailable(detail: &str) -> Self {
        Self::new(ProblemType::Unavailable, detail)
    }

    /// 503: it would take too long now.
    fn busy(detail: &str) -> Self {
        Self::new(ProblemType::DatabaseBusy, detail)
    }

    /// 500: our fault; the cause is logged, not shown.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "internal error");
        Self::new(ProblemType::Internal, "something went wrong on our side")
    }
}

/// Says that a tenant is refused, at most so often: a line for each would cost more than what is
/// refused.
fn say_busy() {
    const EVERY: Duration = Duration::from_secs(10);
    static SAID: Mutex<Option<Instant>> = Mutex::new(None);
    let mut said = SAID.lock();
    if said.is_none_or(|said| said.elapsed() > EVERY) {
        *said = Some(Instant::now());
        tracing::warn!("a tenant makes more calls at once than it has connections for");
    }
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::NotFound => Self::not_found("no such resource"),
            StorageError::Exists(_) => Self::new(ProblemType::AlreadyExists, "it exists already"),
            StorageError::OverQuota(..) => Self::new(ProblemType::OverQuota, error.to_string()),
            StorageError::Overtaken => Self::new(
                ProblemType::IdempotencyKeyPending,
                "another call with this Idempotency-Key is under way",
            ),
            // A deleted tenant has nothing more.
            StorageError::Shredded => Self::not_found("no such resource"),
            StorageError::Unreachable(cause) => {
                tracing::error!(%cause, "the database cannot be reached");
                Self::unavailable("the database cannot be reached; try again")
            }
            StorageError::Slow(cause) => {
                tracing::error!(%cause, "the database takes too long");
                Self::busy("the database takes too long to answer; nothing has happened, try again")
            }
            StorageError::TenantBusy => {
                say_busy();
                Self::busy("too many of the tenant's calls wait for the database; try again")
            }
            StorageError::Conflict(cause) => {
                tracing::warn!(%cause, "transactions waited for each other");
                Self {
                    conflict: true,
                    ..Self::unavailable("other calls were in the way of this one; try again")
                }
            }
            other => Self::internal(other),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response<Body> {
        let problem = self.problem();
        let mut response = (self.status, axum::Json(&problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(Problem::MEDIA_TYPE),
        );
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(
                    header::WWW_AUTHENTICATE,
                    HeaderValue::from_static(self.challenge),
                );
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(header::RETRY_AFTER, self.retry_after.into());
            }
            _ => {}
        }
        if self.conflict {
            response.extensions_mut().insert(Conflict);
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
        let kind = match status {
            StatusCode::METHOD_NOT_ALLOWED => ProblemType::MethodNotAllowed,
            _ => ProblemType::Http,
        };
        let reason = status.canonical_reason().unwrap_or("error").to_lowercase();
        response = ApiError::new(kind, reason)
            .with_status(status)
            .into_response();
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
