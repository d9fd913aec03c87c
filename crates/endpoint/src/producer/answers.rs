//! What the producer's handlers have in common: a request's frame, and answers.

use std::time::Duration;

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderValue, header};
use uuid::Uuid;

use crate::{
    other_release,
    wire::{
        message::{MessageReader, ReadError},
        problem::Refusal,
        problem_type::ProblemType,
    },
};

/// How long a request's head may take to arrive.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Where a frame names its bundle.
const BUNDLE: std::ops::Range<usize> = 3..19;

/// The frame that a request begins with.
pub(super) async fn head_frame(message: &mut MessageReader) -> Result<Bytes, Refusal> {
    tokio::time::timeout(HEAD_TIME, message.frame())
        .await
        .map_err(|_| Refusal::new(ProblemType::HeadTimeout, "the request's head took too long"))?
        .map_err(|error| unreadable(&error))
}

pub(super) fn bundle_of(frame: &[u8]) -> Result<Uuid, Refusal> {
    let bundle = frame.get(BUNDLE).map(Uuid::from_slice);
    match bundle {
        Some(Ok(bundle)) => Ok(bundle),
        _ => Err(Refusal::new(ProblemType::Malformed, "malformed head")),
    }
}

pub(super) fn respond(body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    other_release::mark(response.headers_mut());
    response
}

pub(super) fn unknown() -> Refusal {
    Refusal::new(
        ProblemType::BundleUnknown,
        "this endpoint holds no lanes of the bundle",
    )
}

pub(super) fn unreadable(error: &ReadError) -> Refusal {
    match error {
        ReadError::Cut | ReadError::Ended => {
            Refusal::new(ProblemType::Cut, "the message is cut short")
        }
        ReadError::Head(error) => Refusal::new(ProblemType::Malformed, error.to_string()),
        ReadError::Content(error) => Refusal::new(ProblemType::Malformed, error.to_string()),
    }
}
