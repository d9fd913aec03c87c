//! What Prometheus reads.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use prometheus::{Encoder, Registry, TextEncoder};

/// All that is counted, in Prometheus' text format.
pub fn text(registry: &Registry) -> Response {
    let encoder = TextEncoder::new();
    let mut bytes = Vec::new();
    match encoder.encode(&registry.gather(), &mut bytes) {
        Ok(()) => {
            let kind = encoder.format_type().to_owned();
            ([(header::CONTENT_TYPE, kind)], bytes).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
