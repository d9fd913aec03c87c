//! What a supervisor may ask: `/live`, which looks at nothing outside of this process; `/started`
//! once it has been an endpoint; `/ready` from when it serves until it leaves; and `/metrics` for
//! Prometheus. On a listener of its own: the agent's other one is its traffic's.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use armour_listener::Limits;
use armour_telemetry::scrape;
use axum::{
    Router,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus::Registry;
use tokio_util::sync::CancellationToken;

use crate::standing::Standing;

/// Only supervisors ask.
const FEW: Limits = Limits {
    connections: 64,
    head: Duration::from_secs(5),
    idle: Duration::from_secs(60),
};

/// Serves until the agent stops.
///
/// # Errors
/// If it cannot listen.
pub async fn serve(
    listen: SocketAddr,
    standing: Arc<Standing>,
    with_lease: bool,
    registry: Registry,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let listener =
        armour_listener::bind(listen).with_context(|| format!("listen on {listen} for health"))?;
    let started = standing.clone();
    let started = async move || match started.has_started() {
        true => answer(Ok(None)),
        false => answer(started.readiness(false).map(|()| None)),
    };
    let router = Router::new()
        .route("/live", get(async || "ok\n"))
        .route("/started", get(started))
        .route(
            "/ready",
            get(async move || answer(standing.readiness(with_lease).map(|()| standing.remark()))),
        )
        .route("/metrics", get(async move || scrape::text(&registry)));
    tokio::spawn(async move {
        if let Err(error) = armour_listener::serve(listener, router, FEW, stop).await {
            tracing::error!(%error, "health is not served any more");
        }
    });
    Ok(())
}

fn answer(is: Result<Option<&str>, String>) -> Response {
    match is {
        Ok(None) => "ok\n".into_response(),
        Ok(Some(remark)) => format!("ok\n{remark}\n").into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}
