//! Problem documents (RFC 9457) of an agent.

use armour_api::Problem;
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};

use super::problem_type::ProblemType;

/// A refusal with its kind, `urn:armour:problem:<kind>`.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// Its kind, which gives the status.
    pub problem: ProblemType,
    /// What was wrong with this request.
    pub detail: String,
}

impl Refusal {
    /// A refusal.
    pub fn new(problem: ProblemType, detail: impl Into<String>) -> Self {
        Self {
            problem,
            detail: detail.into(),
        }
    }

    /// The agent fails closed.
    pub fn lease_expired() -> Self {
        Self::new(
            ProblemType::LeaseExpired,
            "the control plane has been out of reach for longer than the pair's lease",
        )
    }

    /// The enclave is gone and the agent about to end.
    pub fn stopping() -> Self {
        Self::new(ProblemType::Stopping, "the agent is stopping")
    }
}

/// A refusal as a response, which reaches the caller under the seal.
pub fn refuse(problem: ProblemType, detail: &'static str) -> Response {
    Refusal::new(problem, detail).into_response()
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.problem.status();
        let problem = Problem::new(self.problem.name(), status.as_u16(), self.detail);
        let mut response =
            Response::new(Body::from(serde_json::to_vec(&problem).unwrap_or_default()));
        *response.status_mut() = status;
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(Problem::MEDIA_TYPE),
        );
        response
    }
}
