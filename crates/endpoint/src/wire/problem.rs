//! Problem documents (RFC 9457) of an agent.

use armour_api::Problem;
use armour_protocol::v2::mode::Reason;
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};
use serde::Serialize;
use strum::IntoStaticStr;

use super::problem_type::ProblemType;

/// A refusal with its kind, `urn:armour:problem:<kind>`.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// Its kind, which gives the status.
    pub problem: ProblemType,
    /// What was wrong with this request.
    pub detail: String,
    /// Whether the request ran; none where none was to be made.
    pub ran: Option<Ran>,
}

/// Whether the API has seen a request that has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Ran {
    /// It has not and will not.
    No,
    /// It may or may not have.
    Unknown,
}

impl Ran {
    /// Its word, as in the document.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl Refusal {
    /// A refusal.
    pub fn new(problem: ProblemType, detail: impl Into<String>) -> Self {
        Self {
            problem,
            detail: detail.into(),
            ran: None,
        }
    }

    /// The same, with the word whether the request ran.
    #[must_use]
    pub fn ran(self, ran: Ran) -> Self {
        Self {
            ran: Some(ran),
            ..self
        }
    }

    /// The producer began a request, and it broke off.
    pub fn aborted(reason: Reason) -> Self {
        let (problem, detail) = match reason {
            Reason::API => (ProblemType::Upstream, "the producer's upstream broke off"),
            Reason::TIMEOUT => (
                ProblemType::UpstreamTimeout,
                "the producer's upstream did not answer in time",
            ),
            Reason::TOO_LARGE => (ProblemType::TooLarge, "the response is too large"),
            Reason::REKEY => (
                ProblemType::StreamNotRekeyed,
                "the producer ended the stream: it was not re-keyed in its time",
            ),
            Reason::LEASE => (
                ProblemType::StreamLeaseExpired,
                "the producer ended the stream: its control plane has been out of reach for \
                 longer than the pair's lease",
            ),
            _ => (ProblemType::Aborted, "the request was begun and broke off"),
        };
        Self::new(problem, detail).ran(Ran::Unknown)
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

/// The document: RFC 9457's members, and one of ours.
#[derive(Serialize)]
struct Document {
    #[serde(flatten)]
    problem: Problem,
    #[serde(skip_serializing_if = "Option::is_none")]
    ran: Option<Ran>,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.problem.status();
        let document = Document {
            problem: Problem::new(self.problem.name(), status.as_u16(), self.detail),
            ran: self.ran,
        };
        let document = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = Response::new(Body::from(document));
        *response.status_mut() = status;
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(Problem::MEDIA_TYPE),
        );
        response
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_document_says_whether_the_request_ran() {
        let refusal = Refusal::new(ProblemType::OutcomeUnknown, "no answer").ran(Ran::Unknown);
        let response = refusal.into_response();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let document: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(document["ran"], "unknown");
        assert_eq!(document["type"], "urn:armour:problem:outcome-unknown");
        let without = refuse(ProblemType::NotFound, "nothing here");
        let body = without.into_body().collect().await.unwrap().to_bytes();
        assert!(!String::from_utf8_lossy(&body).contains("ran"));
    }
}
