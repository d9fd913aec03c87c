//! Armour's control plane: REST API, ledger, console host.
//!
//! [`router`] builds the whole service over a [`state::App`]; replicas share
//! nothing but PostgreSQL.

pub mod auth;
pub mod collision;
pub mod config;
mod extract;
mod hub;
mod idempotency;
mod limits;
pub mod problem;
mod routes;
pub mod state;
pub mod token;
pub mod vault;

use axum::{Router, extract::DefaultBodyLimit, middleware};
use tower::ServiceBuilder;
use tower_http::{
    catch_panic::CatchPanicLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    services::{ServeDir, ServeFile},
    trace::TraceLayer,
};
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;

/// Largest request body, in bytes.
pub const BODY_LIMIT: usize = 1024 * 1024;

/// The service: API below `/v1`, console files elsewhere.
pub fn router(app: state::App) -> Router {
    let (api, document) = api().split_for_parts();
    let api = api
        .layer(middleware::from_fn_with_state(
            app.clone(),
            idempotency::replay,
        ))
        .layer(middleware::from_fn_with_state(app.clone(), limits::rate))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .route(
            "/v1/openapi.json",
            axum::routing::get(async move || axum::Json(document)),
        );
    let api = match &app.config.console_dir {
        Some(dir) => api
            .fallback_service(ServeDir::new(dir).fallback(ServeFile::new(dir.join("index.html")))),
        None => api.fallback(async || problem::ApiError::not_found("no such resource")),
    };
    api.layer(middleware::from_fn(problem::stamp))
        .layer(
            ServiceBuilder::new()
                .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
                .layer(TraceLayer::new_for_http())
                .layer(PropagateRequestIdLayer::x_request_id())
                .layer(CatchPanicLayer::custom(problem::panicked)),
        )
        .with_state(app)
}

/// The OpenAPI document, as committed in `openapi/openapi.json`.
///
/// # Errors
/// If it cannot be written as JSON.
pub fn openapi() -> Result<String, serde_json::Error> {
    Ok(api().split_for_parts().1.to_pretty_json()? + "\n")
}

fn api() -> OpenApiRouter<state::App> {
    OpenApiRouter::with_openapi(ApiDoc::openapi()).merge(routes::all())
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "Armour", description = "Armour's control plane."),
    modifiers(&Bearer),
    security(("bearer" = []))
)]
struct ApiDoc;

struct Bearer;

impl utoipa::Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        openapi
            .components
            .get_or_insert_default()
            .add_security_scheme("bearer", scheme);
    }
}
