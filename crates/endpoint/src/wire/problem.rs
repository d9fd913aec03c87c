//! Problem documents (RFC 9457) of an agent.

use std::borrow::Cow;

use armour_api::Problem;
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};

/// A refusal with its kind, `urn:armour:problem:<kind>`.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// HTTP status.
    pub status: StatusCode,
    /// The kind.
    pub kind: Cow<'static, str>,
    /// What was wrong with this request.
    pub detail: String,
}

impl Refusal {
    /// A refusal.
    pub fn new(
        status: StatusCode,
        kind: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            status,
            kind: kind.into(),
            detail: detail.into(),
        }
    }

    /// The agent fails closed.
    pub fn lease_expired() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "lease-expired",
            "the control plane has been out of reach for longer than the pair's lease",
        )
    }

    /// The enclave is gone and the agent about to end.
    pub fn stopping() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "stopping",
            "the agent is stopping",
        )
    }
}

/// A refusal as a response, which reaches the caller under the seal.
pub fn refuse(status: StatusCode, kind: &'static str, detail: &'static str) -> Response {
    Refusal::new(status, kind, detail).into_response()
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let problem = Problem::new(&self.kind, self.status.as_u16(), self.detail);
        let mut response =
            Response::new(Body::from(serde_json::to_vec(&problem).unwrap_or_default()));
        *response.status_mut() = self.status;
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(Problem::MEDIA_TYPE),
        );
        response
    }
}
