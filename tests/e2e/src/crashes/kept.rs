//! A process that is started again whenever it ends, as a supervisor does.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::process::Signal;
use tokio::{process::Command, sync::Mutex};
use tokio_util::task::AbortOnDropHandle;

use crate::process::Process;

/// How long a supervisor waits before it starts a program again.
const PAUSE: Duration = Duration::from_millis(100);

/// The process.
pub struct Kept {
    shared: Arc<Shared>,
    _supervisor: AbortOnDropHandle<()>,
}

struct Shared {
    process: Mutex<Process>,
    wanted: AtomicBool,
}

impl Kept {
    /// Starts it.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(
        name: &'static str,
        folder: &Path,
        command: impl Fn() -> Command + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let shared = Arc::new(Shared {
            process: Mutex::new(Process::start(name, log, command)?),
            wanted: AtomicBool::new(true),
        });
        let supervised = shared.clone();
        let supervisor = tokio::spawn(async move {
            loop {
                tokio::time::sleep(PAUSE).await;
                let mut process = supervised.process.lock().await;
                let wanted = supervised.wanted.load(Ordering::Relaxed);
                if wanted && process.has_ended().unwrap_or(false) {
                    // Tried again after another pause.
                    let _ = process.start_again();
                }
            }
        });
        Ok(Self {
            shared,
            _supervisor: AbortOnDropHandle::new(supervisor),
        })
    }

    /// Stops it with SIGTERM and waits until it has ended, by itself or by a kill meanwhile.
    ///
    /// # Errors
    /// If it does not end.
    pub async fn stop(&self) -> anyhow::Result<()> {
        self.shared.wanted.store(false, Ordering::Relaxed);
        let mut process = self.shared.process.lock().await;
        if process.has_ended()? {
            return Ok(());
        }
        process.signal(Signal::TERM)?;
        process.until_ended().await
    }

    /// Starts it again after [`Kept::stop`].
    pub fn go_on(&self) {
        self.shared.wanted.store(true, Ordering::Relaxed);
    }
}
