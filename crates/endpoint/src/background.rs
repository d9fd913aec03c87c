//! What goes on beside requests: heartbeats, events and reports, and the enclave's process.

use std::{sync::Arc, time::Duration};

use anyhow::anyhow;
use tokio::{process::Child, sync::mpsc, task::JoinSet};

use crate::control_plane::{
    dead::Dead,
    reporter::Reporter,
    session::{Session, Watcher},
};

/// How long what is still unreported may take then.
const LAST_REPORTS: Duration = Duration::from_secs(5);

/// What goes on beside requests, until it is dropped.
pub struct Background {
    session: Arc<Session>,
    reporter: Arc<Reporter>,
    enclave: Child,
    _tasks: JoinSet<()>,
}

impl Background {
    /// Begins heartbeats, events and reports.
    pub fn start<W: Watcher>(
        session: Arc<Session>,
        reporter: Arc<Reporter>,
        mut dead: mpsc::UnboundedReceiver<Dead>,
        watcher: Arc<W>,
        report_interval: impl Fn() -> Duration + Send + 'static,
        enclave: Child,
    ) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(session.clone().send_heartbeats(watcher.clone()));
        tasks.spawn(session.clone().follow(watcher.clone()));
        tasks.spawn(reporter.clone().run(report_interval));
        tasks.spawn(async move {
            while let Some(bundle) = dead.recv().await {
                watcher.dead(bundle).await;
            }
        });
        Self {
            session,
            reporter,
            enclave,
            _tasks: tasks,
        }
    }

    /// Waits until this process cannot be the endpoint any more, which should not be; why.
    pub async fn ended(&mut self) -> anyhow::Error {
        tokio::select! {
            ended = self.session.ended() => ended.into(),
            status = self.enclave.wait() => match status {
                Ok(status) => anyhow!("the enclave ended: {status}"),
                Err(error) => error.into(),
            },
        }
    }

    /// Reports what is still unreported.
    pub async fn report(&self) {
        self.reporter.drain(LAST_REPORTS).await;
    }
}
