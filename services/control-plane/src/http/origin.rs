//! Where each call comes from, for the audit entries that it writes.

use armour_storage::Origin;
use axum::{extract::Request, middleware::Next, response::Response};

use super::rate_limit::client_address;

/// Longest id of a request that is told, in bytes: it may be the caller's own.
const MAX_ID: usize = 100;

/// Serves a call as one of its origin.
pub async fn tell(request: Request, next: Next) -> Response {
    let id = request.headers().get("x-request-id");
    let id = id.and_then(|id| id.to_str().ok());
    let origin = Origin {
        address: client_address(request.extensions()),
        request_id: id.filter(|id| id.len() <= MAX_ID).map(str::to_owned),
    };
    origin.scope(next.run(request)).await
}
