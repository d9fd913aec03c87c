//! What is observed of an agent's standing whenever its metrics are read.

use std::sync::Arc;

use crate::control_plane::{reporter::Reporter, session::Session};

/// Has the agent's standing observed.
pub fn observe(session: &Arc<Session>, reporter: &Arc<Reporter>) {
    let meter = opentelemetry::global::meter("armour");
    let session = session.clone();
    meter
        .f64_observable_gauge("armour_agent_control_plane_silence")
        .with_unit("s")
        .with_callback(move |gauge| gauge.observe(session.silence().as_secs_f64(), &[]))
        .build();
    let reporter = reporter.clone();
    meter
        .u64_observable_gauge("armour_agent_tickets_unreported")
        .with_callback(move |gauge| gauge.observe(reporter.waiting() as u64, &[]))
        .build();
}

/// Has the lanes in use observed.
pub fn observe_lanes(busy: impl Fn() -> usize + Send + Sync + 'static) {
    opentelemetry::global::meter("armour")
        .u64_observable_gauge("armour_agent_lanes_busy")
        .with_callback(move |gauge| gauge.observe(busy() as u64, &[]))
        .build();
}
