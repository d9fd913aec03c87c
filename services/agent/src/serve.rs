//! Runs an agent: its listener, its background work, and the end of both.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use armour_api::{BundleState, BundleStatus};
use armour_listener::Limits;
use axum::Router;
use tokio::{process::Child, sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    health,
    reporter::Reporter,
    session::{Session, Watcher},
};

/// How long requests under way may take once the agent is asked to stop.
const DRAIN: Duration = Duration::from_secs(10);

/// What goes on beside requests.
pub struct Background<W, I, K> {
    /// Standing with the control plane.
    pub session: Arc<Session>,
    /// Reports to the ledger.
    pub reporter: Arc<Reporter>,
    /// How often to report.
    pub interval: I,
    /// Bundles that the ledger calls dead.
    pub dead: mpsc::UnboundedReceiver<Uuid>,
    /// What the role does with news.
    pub watcher: Arc<W>,
    /// What the role does besides.
    pub keeper: K,
}

/// Serves until SIGINT or SIGTERM, then drains.
///
/// # Errors
/// If the address cannot be bound, or the enclave ends.
pub async fn run<W: Watcher>(
    listen: SocketAddr,
    health_listen: Option<SocketAddr>,
    router: Router,
    mut enclave: Child,
    background: Background<
        W,
        impl Fn() -> Duration + Send + 'static,
        impl Future<Output = ()> + Send + 'static,
    >,
) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| format!("listen on {listen}"))?;
    tracing::info!(address = %listener.local_addr()?, "listening");
    let Background {
        session,
        reporter,
        interval,
        mut dead,
        watcher,
        keeper,
    } = background;
    let stop = CancellationToken::new();
    if let Some(listen) = health_listen {
        health::serve(listen, session.clone(), watcher.clone(), stop.clone()).await?;
    }
    let mut tasks = JoinSet::new();
    tasks.spawn(session.clone().beat(watcher.clone()));
    tasks.spawn(session.follow(watcher.clone()));
    tasks.spawn(reporter.clone().run(interval));
    tasks.spawn(keeper);
    tasks.spawn(async move {
        while let Some(id) = dead.recv().await {
            let state = BundleState::Disconnected;
            watcher
                .status(BundleStatus {
                    id,
                    state,
                    lanes: Vec::new(),
                })
                .await;
        }
    });
    let stopped = stop.clone();
    let server = tokio::spawn(async move {
        armour_listener::serve(listener, router, Limits::default(), stopped).await
    });
    tokio::select! {
        status = enclave.wait() => bail!("the enclave ended: {}", status?),
        () = asked_to_stop() => {}
    }
    tracing::info!("draining");
    stop.cancel();
    if tokio::time::timeout(DRAIN, server).await.is_err() {
        tracing::warn!("some requests were still under way");
    }
    reporter.drain(Duration::from_secs(5)).await;
    Ok(())
}

async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        },
        Err(_) => {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}
