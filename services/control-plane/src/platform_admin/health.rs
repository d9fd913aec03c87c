//! `/v1/health`: alive, and ready to serve.

use std::{sync::Arc, time::Duration};

use armour_api::{Health, ProblemType};
use armour_storage::Store;
use axum::{
    Json, Router,
    extract::{FromRef, State},
    routing::get,
};
use tokio::{runtime::Handle, sync::Mutex, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::problem::{ApiError, ApiResult};

/// For how long what the database showed holds.
const SHOWN_FOR: Duration = Duration::from_millis(250);
/// How long the database has to show that a call could be served.
const PATIENCE: Duration = Duration::from_millis(1500);

pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Readiness: FromRef<S>,
{
    OpenApiRouter::new()
        .routes(routes!(live))
        .routes(routes!(ready))
}

/// The process is alive. Says nothing of the database: a restart would not mend that.
#[utoipa::path(get, path = "/v1/health", tag = "health", security(()),
    responses((status = 200, body = Health)))]
async fn live() -> Json<Health> {
    Json(ok())
}

/// The process can serve: the database answers, takes writes and is migrated, the
/// active master key is loaded, and nobody has asked it to stop.
#[utoipa::path(get, path = "/v1/health/ready", tag = "health", security(()),
    extensions(("x-problems" = json!([ProblemType::NotReady]))),
    responses((status = 200, body = Health)))]
async fn ready(State(readiness): State<Readiness>) -> ApiResult<Json<Health>> {
    readiness.check().await?;
    Ok(Json(ok()))
}

/// The same on a listener of its own, whose runtime is not the one that serves calls: they are
/// answered on `calls`, so that a process that serves nobody any more answers no probe either.
pub fn probes(readiness: Readiness, calls: Handle) -> Router {
    let here = calls.clone();
    let live = async move || answered(here.spawn(async { Ok(Json(ok())) })).await;
    let ready = async move || answered(calls.spawn(ready(State(readiness)))).await;
    Router::new()
        .route("/v1/health", get(live))
        .route("/v1/health/ready", get(ready))
}

async fn answered(answer: JoinHandle<ApiResult<Json<Health>>>) -> ApiResult<Json<Health>> {
    answer.await.map_err(ApiError::internal)?
}

/// What the database showed last. Whoever asks again waits, so that it is asked once: probes
/// are not limited.
#[derive(Default)]
pub struct LastReady(Mutex<Option<(Instant, Result<(), String>)>>);

/// What shows that this replica can serve.
#[derive(Clone)]
pub struct Readiness {
    /// The database.
    pub store: Store,
    /// Cancelled when this replica is about to stop.
    pub draining: CancellationToken,
    /// What the database showed last.
    pub last: Arc<LastReady>,
}

impl Readiness {
    /// Whether this replica can serve calls now.
    ///
    /// # Errors
    /// 503 `not-ready`, with what is missing.
    async fn check(&self) -> ApiResult<()> {
        let not = |why: String| ApiError::new(ProblemType::NotReady, why);
        if self.draining.is_cancelled() {
            return Err(not("this replica is being stopped".into()));
        }
        let mut last = self.last.0.lock().await;
        if let Some((when, shown)) = &*last
            && when.elapsed() < SHOWN_FOR
        {
            return shown.clone().map_err(not);
        }
        // Sooner than a probe gives up, and than the pool does.
        let shown = match tokio::time::timeout(PATIENCE, self.store.ready()).await {
            Ok(ready) => ready.map_err(|error| error.to_string()),
            Err(_) => Err(
                "no database that takes writes answers in time: it is away, or a standby".into(),
            ),
        };
        *last = Some((Instant::now(), shown.clone()));
        shown.map_err(not)
    }
}

fn ok() -> Health {
    Health {
        status: "ok".into(),
        version: env!("CARGO_PKG_VERSION").into(),
    }
}
