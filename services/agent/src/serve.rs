//! Runs an agent: its background work, its listeners, and the end of both.

use std::{future::Future, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use armour_api::{BundleState, BundleStatus};
use armour_listener::{Door, Limits, Tls};
use axum::Router;
use tokio::{process::Child, sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    reporter::Reporter,
    session::{Session, Watcher},
};

/// How long requests under way may take once the agent is asked to stop.
pub const DRAIN: Duration = Duration::from_secs(10);
/// How long what is still unreported may take then.
const LAST_REPORTS: Duration = Duration::from_secs(5);

/// What goes on beside requests, until it is dropped.
pub struct Background {
    reporter: Arc<Reporter>,
    enclave: Child,
    _tasks: JoinSet<()>,
}

impl Background {
    /// Begins heartbeats, events and reports.
    pub fn start<W: Watcher>(
        session: Arc<Session>,
        reporter: Arc<Reporter>,
        mut dead: mpsc::UnboundedReceiver<Uuid>,
        watcher: Arc<W>,
        report_interval: impl Fn() -> Duration + Send + 'static,
        enclave: Child,
    ) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(session.clone().beat(watcher.clone()));
        tasks.spawn(session.follow(watcher.clone()));
        tasks.spawn(reporter.clone().run(report_interval));
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
        Self {
            reporter,
            enclave,
            _tasks: tasks,
        }
    }

    /// Serves until SIGINT or SIGTERM, then drains. `serving` ends once nothing is served
    /// any more, which it is asked for by `stop`.
    ///
    /// # Errors
    /// If the enclave ends, or serving does before it is asked to.
    pub async fn serve(
        mut self,
        serving: impl Future<Output = anyhow::Result<()>> + Send + 'static,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut serving = tokio::spawn(serving);
        tokio::select! {
            status = self.enclave.wait() => bail!("the enclave ended: {}", status?),
            ended = &mut serving => {
                ended??;
                bail!("nothing is served any more");
            }
            () = asked_to_stop() => {}
        }
        tracing::info!("draining");
        stop.cancel();
        if tokio::time::timeout(DRAIN, serving).await.is_err() {
            tracing::warn!("some requests were still under way");
        }
        self.report().await;
        Ok(())
    }

    /// Reports what is still unreported.
    pub async fn report(&self) {
        self.reporter.drain(LAST_REPORTS).await;
    }
}

/// Serves one listener until `stop` is cancelled and its requests have ended.
///
/// # Errors
/// If the listener breaks.
pub async fn door(
    listener: tokio::net::TcpListener,
    tls: Option<Tls>,
    router: Router,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    tracing::info!(address = %listener.local_addr()?, tls = tls.is_some(), "listening");
    armour_listener::serve(Door::new(listener, tls), router, Limits::default(), stop).await?;
    Ok(())
}

/// Listens.
///
/// # Errors
/// If the address cannot be bound.
pub async fn listen(address: std::net::SocketAddr) -> anyhow::Result<tokio::net::TcpListener> {
    tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("listen on {address}"))
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
