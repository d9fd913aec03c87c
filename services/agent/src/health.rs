//! What a supervisor may ask: `/live`, and `/ready` once the control plane has been
//! heard of lately; and `/metrics` for Prometheus. On a listener of its own: the agent's other one is its traffic's.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use armour_endpoint::control_plane::session::{Session, Watcher};
use armour_listener::Limits;
use armour_telemetry::scrape;
use axum::{Router, http::StatusCode, routing::get};
use prometheus::Registry;
use tokio_util::sync::CancellationToken;

/// Only supervisors ask.
const FEW: Limits = Limits {
    connections: 64,
    head: Duration::from_secs(5),
    idle: Duration::from_secs(60),
};
/// Heartbeats that may fail before the agent says that it is not ready.
const MISSED: u32 = 3;

/// Serves until the agent stops.
///
/// # Errors
/// If it cannot listen.
pub async fn serve(
    listen: SocketAddr,
    session: Arc<Session>,
    watcher: Arc<impl Watcher>,
    registry: Registry,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| format!("listen on {listen} for health"))?;
    let asked = stop.clone();
    let ready = async move || {
        let patience = watcher.heartbeat_interval() * MISSED;
        if asked.is_cancelled() {
            (StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
        } else if session.silence() > patience {
            let why = "the control plane has not been heard of\n";
            (StatusCode::SERVICE_UNAVAILABLE, why)
        } else {
            (StatusCode::OK, "ok\n")
        }
    };
    let router = Router::new()
        .route("/live", get(async || "ok\n"))
        .route("/ready", get(ready))
        .route("/metrics", get(async move || scrape::text(&registry)));
    tokio::spawn(async move {
        if let Err(error) = armour_listener::serve(listener, router, FEW, stop).await {
            tracing::error!(%error, "health is not served any more");
        }
    });
    Ok(())
}
