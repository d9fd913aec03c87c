//! What is counted, and where Prometheus reads it: a listener of its own, which the
//! public never reaches. `docs/metrics.md` lists all of it. Labels have few values:
//! never a tenant, a pair, or anything that a caller chose.

use std::{net::SocketAddr, sync::LazyLock, time::Instant};

use anyhow::Context as _;
use armour_listener::Limits;
use armour_telemetry::{scrape, trace};
use axum::{
    Router,
    extract::{MatchedPath, Request},
    middleware::Next,
    response::Response,
    routing::get,
};
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, UpDownCounter},
};
use prometheus::Registry;
use tracing::{Instrument, field};

use crate::app::App;

/// Bounds of durations, in seconds.
const SECONDS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// Methods that are counted by their names.
const METHODS: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"];

/// The instruments.
pub struct Metrics {
    requests: Counter<u64>,
    durations: Histogram<f64>,
    /// Verdicts on reports of tickets.
    pub reports: Counter<u64>,
    /// Collisions declared.
    pub collisions: Counter<u64>,
    /// Bundles disconnected, for whatever reason.
    pub disconnects: Counter<u64>,
    /// Restores of the database that endpoints or operators have told of.
    pub fences: Counter<u64>,
    /// Streams of events open.
    pub streams: UpDownCounter<i64>,
    /// Rounds of background work that failed.
    pub worker_failures: Counter<u64>,
}

/// This process's instruments.
pub static METRICS: LazyLock<Metrics> = LazyLock::new(|| {
    let meter = opentelemetry::global::meter("armour");
    Metrics {
        requests: meter.u64_counter("armour_http_requests").build(),
        durations: meter
            .f64_histogram("armour_http_request_duration")
            .with_unit("s")
            .with_boundaries(SECONDS.to_vec())
            .build(),
        reports: meter.u64_counter("armour_ticket_reports").build(),
        collisions: meter.u64_counter("armour_collisions").build(),
        disconnects: meter.u64_counter("armour_bundles_disconnected").build(),
        fences: meter.u64_counter("armour_ledger_fences").build(),
        streams: meter.i64_up_down_counter("armour_event_streams").build(),
        worker_failures: meter.u64_counter("armour_worker_failures").build(),
    }
});

/// Has observed what is not counted, and told what has not happened yet.
fn observe(app: &App) {
    let meter = opentelemetry::global::meter("armour");
    let store = app.store.clone();
    meter
        .i64_observable_gauge("armour_database_connections")
        .with_callback(move |gauge| {
            let (size, idle) = store.connections();
            gauge.observe(i64::from(size) - idle, &[KeyValue::new("state", "used")]);
            gauge.observe(idle, &[KeyValue::new("state", "idle")]);
        })
        .build();
    let store = app.store.clone();
    meter
        .f64_observable_gauge("armour_clock_offset")
        .with_unit("s")
        .with_callback(move |gauge| {
            gauge.observe(store.clock_offset().as_seconds_f64(), &[]);
        })
        .build();
    let draining = app.draining.clone();
    meter
        .i64_observable_gauge("armour_draining")
        .with_callback(move |gauge| gauge.observe(i64::from(draining.is_cancelled()), &[]))
        .build();
    // What has not happened yet is told as 0: an alert on a rise needs a beginning.
    METRICS.fences.add(0, &[]);
    METRICS.disconnects.add(0, &[]);
    METRICS.streams.add(0, &[]);
    for kind in ["fork", "superseded", "disowned", "usurped"] {
        METRICS.collisions.add(0, &[KeyValue::new("kind", kind)]);
    }
    for name in crate::jobs::NAMES {
        METRICS
            .worker_failures
            .add(0, &[KeyValue::new("worker", name)]);
    }
}

/// Serves `/metrics` until the service stops.
///
/// # Errors
/// If it cannot listen.
pub async fn serve(app: &App, listen: SocketAddr, registry: Registry) -> anyhow::Result<()> {
    observe(app);
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| format!("listen on {listen} for metrics"))?;
    tracing::info!(listen = %listener.local_addr()?, "metrics");
    let router = Router::new().route("/metrics", get(async move || scrape::text(&registry)));
    let stopping = app.stopping.clone();
    tokio::spawn(async move {
        let limits = Limits {
            connections: 64,
            ..Limits::default()
        };
        let served = armour_listener::serve(listener, router, limits, stopping);
        if let Err(error) = served.await {
            tracing::error!(%error, "metrics are not served any more");
        }
    });
    Ok(())
}

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
