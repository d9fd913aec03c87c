//! What an agent counts: `docs/metrics.md` lists all of it. Labels have few values, each
//! of them a word of ours.

use std::{borrow::Cow, sync::LazyLock, time::Duration};

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram},
};

/// Bounds of durations, in seconds.
const SECONDS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// The instruments.
pub struct Metrics {
    /// A consumer's calls, by what came of them.
    calls: Counter<u64>,
    /// From a call's head until its response's.
    call_durations: Histogram<f64>,
    /// Tickets that a producer was brought, by what they were.
    tickets: Counter<u64>,
    /// From a request until its upstream's response began.
    upstream_durations: Histogram<f64>,
    /// Bundles issued to this consumer.
    pub bundles_issued: Counter<u64>,
}

/// This process's instruments.
pub static METRICS: LazyLock<Metrics> = LazyLock::new(|| {
    let meter = opentelemetry::global::meter("armour");
    let seconds = |name: &'static str| {
        let histogram = meter.f64_histogram(name).with_unit("s");
        histogram.with_boundaries(SECONDS.to_vec()).build()
    };
    Metrics {
        calls: meter.u64_counter("armour_agent_calls").build(),
        call_durations: seconds("armour_agent_call_duration"),
        tickets: meter.u64_counter("armour_agent_tickets").build(),
        upstream_durations: seconds("armour_agent_upstream_duration"),
        bundles_issued: meter.u64_counter("armour_agent_bundles_drawn").build(),
    }
});

impl Metrics {
    /// A consumer's call has been answered, or refused for the reason given.
    pub fn call(&self, outcome: Cow<'static, str>, took: Duration) {
        self.calls.add(1, &[KeyValue::new("outcome", outcome)]);
        self.call_durations.record(took.as_secs_f64(), &[]);
    }

    /// A producer was brought a ticket.
    pub fn ticket(&self, kind: &'static str) {
        self.tickets.add(1, &[KeyValue::new("kind", kind)]);
    }

    /// An upstream has answered.
    pub fn upstream(&self, took: Duration) {
        self.upstream_durations.record(took.as_secs_f64(), &[]);
    }
}
