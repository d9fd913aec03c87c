//! What goes on beside requests: heartbeats, events and reports, and the enclave's process.

use std::{io, process::ExitStatus, sync::Arc, time::Duration};

use armour_api::{BundleState, BundleStatus};
use tokio::{process::Child, sync::mpsc, task::JoinSet};
use uuid::Uuid;

use crate::control_plane::{
    reporter::Reporter,
    session::{Session, Watcher},
};

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
        tasks.spawn(session.clone().send_heartbeats(watcher.clone()));
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

    /// Waits until the enclave has ended, which it should not.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub async fn enclave_ended(&mut self) -> io::Result<ExitStatus> {
        self.enclave.wait().await
    }

    /// Reports what is still unreported.
    pub async fn report(&self) {
        self.reporter.drain(LAST_REPORTS).await;
    }
}
