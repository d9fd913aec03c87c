//! What is counted. `docs/metrics.md` lists all of it. Labels have few values: never a
//! tenant, a pair, or anything that a caller chose.

use std::sync::LazyLock;

use opentelemetry::metrics::{Counter, Histogram, UpDownCounter};

/// Bounds of durations, in seconds.
const SECONDS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// The instruments.
pub struct Metrics {
    /// Requests.
    pub requests: Counter<u64>,
    /// How long requests take.
    pub durations: Histogram<f64>,
    /// Verdicts on reports of tickets.
    pub reports: Counter<u64>,
    /// Collisions recorded.
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
