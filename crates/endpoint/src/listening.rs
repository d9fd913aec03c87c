//! Listeners of an endpoint.

use std::time::Duration;

use anyhow::Context as _;
use armour_listener::{Limits, Listener};
use axum::Router;
use tokio_util::sync::CancellationToken;

/// How long requests under way may take once the agent is asked to stop.
pub const DRAIN: Duration = Duration::from_secs(10);

/// Serves one listener until `stop` is cancelled and its requests have ended.
///
/// # Errors
/// If the listener breaks.
pub async fn serve(
    listener: Listener,
    router: Router,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    tracing::info!(address = %listener.address()?, tls = listener.is_tls(), "listening");
    armour_listener::serve(listener, router, Limits::default(), stop).await?;
    Ok(())
}

/// Listens.
///
/// # Errors
/// If the address cannot be bound.
pub fn listen(address: std::net::SocketAddr) -> anyhow::Result<tokio::net::TcpListener> {
    armour_listener::bind(address).with_context(|| format!("listen on {address}"))
}
