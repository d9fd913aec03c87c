//! Work in the background. No replica leads: what is to be done is claimed from
//! PostgreSQL, and whoever dies in the middle leaves it to another.

use std::time::Duration;

use opentelemetry::KeyValue;
use tokio::task::JoinSet;

use crate::{
    app::App,
    http::problem::ApiResult,
    platform::instruments::METRICS,
    platform_admin::{rotation, upkeep},
    webhooks::delivery,
};

/// What the workers are called.
pub const NAMES: [&str; 5] = [
    "webhooks",
    "rotation",
    "lost-endpoints",
    "upkeep",
    "presence",
];

/// Starts the workers; they end when the service drains.
pub fn start(app: &App) -> JoinSet<()> {
    let mut workers = JoinSet::new();
    workers.spawn(every(
        app.clone(),
        Duration::from_millis(500),
        NAMES[0],
        delivery::run,
    ));
    workers.spawn(every(
        app.clone(),
        Duration::from_secs(1),
        NAMES[1],
        rotation::run,
    ));
    workers.spawn(every(
        app.clone(),
        Duration::from_secs(5),
        NAMES[2],
        upkeep::find_lost,
    ));
    workers.spawn(every(
        app.clone(),
        Duration::from_secs(60),
        NAMES[3],
        upkeep::run,
    ));
    workers.spawn(every(
        app.clone(),
        Duration::from_secs(15),
        NAMES[4],
        upkeep::be_present,
    ));
    workers
}

/// Does something again and again; a failure is told and tried again.
async fn every<F, Fut>(app: App, pause: Duration, name: &'static str, work: F)
where
    F: Fn(App) -> Fut,
    Fut: Future<Output = ApiResult<()>>,
{
    let stopping = app.stopping.clone();
    loop {
        if let Err(error) = work(app.clone()).await {
            METRICS
                .worker_failures
                .add(1, &[KeyValue::new("worker", name)]);
            tracing::warn!(worker = name, error = error.detail(), "trying again later");
        }
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}
