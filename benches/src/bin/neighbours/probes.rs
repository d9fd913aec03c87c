//! Probes as a supervisor makes them.

use std::time::Duration;

use armour_client::Client;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_millis(250);
/// What Kubernetes gives a probe unless it is told otherwise.
const PATIENCE: Duration = Duration::from_secs(1);

/// Asks for health and readiness until it is ended.
pub struct Probes {
    stop: CancellationToken,
    task: JoinHandle<u64>,
}

impl Probes {
    /// Begins.
    ///
    /// # Errors
    /// If there can be no client.
    pub fn start(base: &str) -> anyhow::Result<Self> {
        let client = Client::new(base, "")?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut failed = 0;
            while stopped
                .run_until_cancelled(tokio::time::sleep(EVERY))
                .await
                .is_some()
            {
                for path in ["/v1/health", "/v1/health/ready"] {
                    let asked = client.get::<serde_json::Value>(path);
                    let answered = tokio::time::timeout(PATIENCE, asked).await;
                    failed += u64::from(!matches!(answered, Ok(Ok(_))));
                }
            }
            failed
        });
        Ok(Self { stop, task })
    }

    /// How many failed.
    pub async fn end(self) -> u64 {
        self.stop.cancel();
        self.task.await.unwrap_or(u64::MAX)
    }
}
