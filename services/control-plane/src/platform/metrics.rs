//! What Prometheus reads: what is counted, and what is observed when it reads.

use armour_api::CollisionKind;
use armour_storage::Store;
use armour_telemetry::scrape;
use axum::{Router, routing::get};
use opentelemetry::KeyValue;
use prometheus::Registry;
use tokio_util::sync::CancellationToken;

use super::instruments::METRICS;

/// Has observed what is not counted, and told what has not happened yet.
pub fn observe(store: &Store, draining: &CancellationToken, jobs: &[&'static str]) {
    let meter = opentelemetry::global::meter("armour");
    let observed = store.clone();
    meter
        .i64_observable_gauge("armour_database_connections")
        .with_callback(move |gauge| {
            let (size, idle) = observed.connections();
            gauge.observe(i64::from(size) - idle, &[KeyValue::new("state", "used")]);
            gauge.observe(idle, &[KeyValue::new("state", "idle")]);
        })
        .build();
    let observed = store.clone();
    meter
        .f64_observable_gauge("armour_clock_offset")
        .with_unit("s")
        .with_callback(move |gauge| {
            gauge.observe(observed.clock_offset().as_seconds_f64(), &[]);
        })
        .build();
    let draining = draining.clone();
    meter
        .i64_observable_gauge("armour_draining")
        .with_callback(move |gauge| gauge.observe(i64::from(draining.is_cancelled()), &[]))
        .build();
    // What has not happened yet is told as 0: an alert on a rise needs a beginning.
    METRICS.fences.add(0, &[]);
    METRICS.disconnects.add(0, &[]);
    METRICS.streams.add(0, &[]);
    for kind in CollisionKind::WORDS {
        METRICS.collisions.add(0, &[KeyValue::new("kind", *kind)]);
    }
    for name in jobs {
        METRICS
            .worker_failures
            .add(0, &[KeyValue::new("worker", *name)]);
    }
}

/// `/metrics`.
pub fn routes(registry: Registry) -> Router {
    Router::new().route("/metrics", get(async move || scrape::text(&registry)))
}
