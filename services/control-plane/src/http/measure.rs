//! Each request is counted, and a span of its caller's trace.

use armour_telemetry::trace;
use axum::{
    extract::{MatchedPath, Request},
    middleware::Next,
    response::Response,
};
use opentelemetry::KeyValue;
use tokio::time::Instant;
use tracing::{Instrument, field};

use crate::platform::instruments::METRICS;

/// Methods that are counted by their names.
const METHODS: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"];

/// Counts a request by its route, not its path, and makes it a span of its caller's trace.
pub async fn count(request: Request, next: Next) -> Response {
    let since = Instant::now();
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or_else(|| "other".to_owned(), |path| path.as_str().to_owned());
    // What is no method of HTTP's is the caller's own word.
    let method = METHODS.into_iter().find(|known| request.method() == known);
    let method = method.unwrap_or("other");
    let span = tracing::info_span!(
        "armour.api",
        otel.kind = "server",
        otel.name = format!("{method} {route}"),
        http.request.method = method,
        http.route = route,
        http.response.status_code = field::Empty,
    );
    trace::adopt(&span, request.headers());
    let mut labels = vec![
        KeyValue::new("method", method),
        KeyValue::new("route", route),
    ];
    let response = next.run(request).instrument(span.clone()).await;
    span.record("http.response.status_code", response.status().as_u16());
    METRICS
        .durations
        .record(since.elapsed().as_secs_f64(), &labels);
    let status = i64::from(response.status().as_u16());
    labels.push(KeyValue::new("status", status));
    METRICS.requests.add(1, &labels);
    response
}
