//! Bodies: how large, and how slow.

use std::time::Duration;

use armour_api::ProblemType;
use axum::{
    body::{Body, to_bytes},
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::http::{BODY_LIMIT, problem::ApiError};

/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(15);

/// Reads the body before anything else happens: handlers begin their transaction
/// first, and a slow body must not hold a database connection.
pub async fn body(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match tokio::time::timeout(BODY_TIME, to_bytes(body, BODY_LIMIT)).await {
        Ok(Ok(body)) => next.run(Request::from_parts(parts, Body::from(body))).await,
        Ok(Err(_)) => ApiError::new(
            ProblemType::TooLarge,
            "the body is cut short or larger than 1 MiB",
        )
        .into_response(),
        Err(_) => {
            ApiError::new(ProblemType::SlowBody, "the body took longer than 15 s").into_response()
        }
    }
}
