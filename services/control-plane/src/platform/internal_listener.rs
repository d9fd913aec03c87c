//! What supervisors and Prometheus ask, and the public never reaches: on a listener of its own,
//! without TLS or limits of rates, and on a thread of its own. However many calls and connections
//! come where the service is reached, none of them is before a probe here.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use armour_listener::Limits;
use axum::Router;
use tokio_util::sync::CancellationToken;

/// Only supervisors ask.
const FEW: Limits = Limits {
    connections: 64,
    head: Duration::from_secs(5),
    idle: Duration::from_secs(60),
};

/// Serves until the service stops. Returns where it listens.
///
/// # Errors
/// If it cannot listen.
pub fn serve(
    listen: SocketAddr,
    router: Router,
    stopping: CancellationToken,
) -> anyhow::Result<SocketAddr> {
    let listener = armour_listener::bind(listen)
        .with_context(|| format!("listen on {listen} for probes and metrics"))?;
    let address = listener.local_addr()?;
    // Another runtime is to be told when connections come.
    let listener = listener.into_std()?;
    let serve = async move || {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        armour_listener::serve(listener, router, FEW, stopping).await
    };
    std::thread::Builder::new()
        .name("armour-internal".into())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            if let Err(error) = runtime.and_then(|runtime| runtime.block_on(serve())) {
                tracing::error!(%error, "probes and metrics are not served any more");
            }
        })
        .context("start a thread for probes and metrics")?;
    tracing::info!(listen = %address, "probes and metrics");
    Ok(address)
}
