//! Work in the background. No replica leads: what is to be done is claimed from
//! PostgreSQL, and whoever dies in the middle leaves it to another. Each domain gives
//! its own jobs; this only runs them.

use std::time::Duration;

use armour_storage::Store;
use futures::future::BoxFuture;
use opentelemetry::KeyValue;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{http::problem::ApiResult, platform::instruments::METRICS};

/// Something to be done again and again.
pub struct Job {
    /// As in metrics and logs.
    pub name: &'static str,
    /// How long to wait from one round to the next.
    pub pause: Duration,
    run: Box<dyn Fn() -> BoxFuture<'static, ApiResult<()>> + Send + Sync>,
}

impl Job {
    /// A job over what it works with.
    pub fn new<C, F>(
        name: &'static str,
        pause: Duration,
        context: C,
        run: impl Fn(C) -> F + Send + Sync + 'static,
    ) -> Self
    where
        C: Clone + Send + Sync + 'static,
        F: Future<Output = ApiResult<()>> + Send + 'static,
    {
        Self {
            name,
            pause,
            run: Box::new(move || Box::pin(run(context.clone()))),
        }
    }
}

/// Starts jobs; they end when the service stops.
pub fn start(jobs: Vec<Job>, stopping: &CancellationToken) -> JoinSet<()> {
    let mut running = JoinSet::new();
    for job in jobs {
        running.spawn(repeat(job, stopping.clone()));
    }
    running
}

/// Takes a job's lease, if no replica has it: those that walk all tenants are done by
/// one replica at a time.
///
/// # Errors
/// If the database does not answer.
pub async fn acquire_lease(store: &Store, name: &str, seconds: f64) -> ApiResult<bool> {
    let mut tx = store.platform().await?;
    let acquired = tx.job_leases().acquire(name, seconds).await?;
    tx.commit().await?;
    Ok(acquired)
}

/// A failure is logged and tried again.
async fn repeat(job: Job, stopping: CancellationToken) {
    loop {
        if let Err(error) = (job.run)().await {
            METRICS
                .worker_failures
                .add(1, &[KeyValue::new("worker", job.name)]);
            tracing::warn!(
                worker = job.name,
                error = error.detail(),
                "trying again later"
            );
        }
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(job.pause) => {}
        }
    }
}
