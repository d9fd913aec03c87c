//! What is counted, and where Prometheus reads it: a listener of its own, which the
//! public never reaches. `docs/metrics.md` lists all of it. Labels have few values:
//! never a tenant, a pair, or anything that a caller chose.

use std::{net::SocketAddr, sync::LazyLock, time::Instant};

use anyhow::Context as _;
use armour_listener::Limits;
use axum::{
    Router,
    extract::{MatchedPath, Request},
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::get,
};
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, UpDownCounter},
};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Encoder, Registry, TextEncoder};

use crate::state::App;

/// Bounds of durations, in seconds.
const SECONDS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// The instruments; they count nothing before [`install`].
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

/// Makes the registry that everything is counted in.
///
/// # Errors
/// If it is made twice.
pub fn install(app: &App) -> anyhow::Result<Registry> {
    let registry = Registry::new();
    let exporter = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .without_target_info()
        .build()
        .context("metrics")?;
    let provider = SdkMeterProvider::builder().with_reader(exporter).build();
    opentelemetry::global::set_meter_provider(provider);
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
    for name in crate::workers::NAMES {
        METRICS
            .worker_failures
            .add(0, &[KeyValue::new("worker", name)]);
    }
    Ok(registry)
}

/// Serves `/metrics` until the service stops.
///
/// # Errors
/// If it cannot listen.
pub async fn serve(app: &App, listen: SocketAddr) -> anyhow::Result<()> {
    let registry = install(app)?;
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| format!("listen on {listen} for metrics"))?;
    tracing::info!(listen = %listener.local_addr()?, "metrics");
    let router = Router::new().route("/metrics", get(async move || text(&registry)));
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

fn text(registry: &Registry) -> Response {
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

/// Counts a request by its route, not its path.
pub async fn count(request: Request, next: Next) -> Response {
    let since = Instant::now();
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or_else(|| "other".to_owned(), |path| path.as_str().to_owned());
    // What is no method of HTTP's is the caller's own word.
    let method = match request.method().as_str() {
        known @ ("GET" | "POST" | "PUT" | "DELETE" | "HEAD" | "OPTIONS" | "PATCH") => known,
        _ => "other",
    };
    let mut labels = vec![
        KeyValue::new("method", method.to_owned()),
        KeyValue::new("route", route),
    ];
    let response = next.run(request).await;
    METRICS
        .durations
        .record(since.elapsed().as_secs_f64(), &labels);
    let status = i64::from(response.status().as_u16());
    labels.push(KeyValue::new("status", status));
    METRICS.requests.add(1, &labels);
    response
}
