//! `/v1/health`: alive, and ready to serve.

use armour_api::{Health, Problem};
use axum::{Json, extract::State};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{app::App, http::problem::ApiResult};

pub fn routes() -> OpenApiRouter<App> {
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
    responses((status = 200, body = Health), (status = 503, body = Problem)))]
async fn ready(State(app): State<App>) -> ApiResult<Json<Health>> {
    app.ready().await?;
    Ok(Json(ok()))
}

fn ok() -> Health {
    Health {
        status: "ok".into(),
        version: env!("CARGO_PKG_VERSION").into(),
    }
}
