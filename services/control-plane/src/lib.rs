//! Armour's control plane: REST API, ledger, console host.
//!
//! [`router`] builds the whole service over a [`app::App`]; replicas share
//! nothing but PostgreSQL.

pub mod app;
mod audit;
pub mod config;
mod events;
mod http;
pub mod identity;
pub mod jobs;
mod ledger;
mod pairing;
pub mod platform;
mod platform_admin;
mod tenancy;
mod webhooks;

use axum::{Router, extract::DefaultBodyLimit, middleware};
use tower::ServiceBuilder;
use tower_http::{
    catch_panic::CatchPanicLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
};
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;

use crate::{
    http::{BODY_LIMIT, console, idempotency, links, problem, rate_limit, reference},
    identity::authn,
    platform::instruments,
};

/// The service: API below `/v1`, console files elsewhere.
pub fn router(app: app::App) -> Router {
    let (api, mut document) = api().split_for_parts();
    complete(&mut document);
    let api = api
        .layer(middleware::from_fn_with_state(
            app.clone(),
            idempotency::replay,
        ))
        .layer(middleware::from_fn(rate_limit::body))
        .layer(middleware::from_fn_with_state(
            app.clone(),
            authn::nonce::offer,
        ))
        .layer(middleware::from_fn_with_state(
            app.clone(),
            rate_limit::rate,
        ))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .route(
            "/v1/openapi.json",
            axum::routing::get(async move || axum::Json(document)),
        )
        .merge(reference::router());
    let api = match &app.config.console_dir {
        Some(dir) => api.fallback_service(console::router(dir)),
        None => api.fallback(async || problem::ApiError::not_found("no such resource")),
    };
    api.layer(middleware::from_fn(problem::stamp))
        .layer(middleware::from_fn(instruments::count))
        .layer(
            ServiceBuilder::new()
                .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
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
    let mut document = api().split_for_parts().1;
    complete(&mut document);
    Ok(document.to_pretty_json()? + "\n")
}

fn api() -> OpenApiRouter<app::App> {
    OpenApiRouter::with_openapi(ApiDoc::openapi())
        .merge(platform_admin::routes())
        .merge(tenancy::routes())
        .merge(identity::routes())
        .merge(pairing::routes())
        .merge(ledger::routes())
        .merge(audit::routes())
        .merge(webhooks::routes())
        .merge(events::routes())
}

/// What is said of every route alike.
fn complete(document: &mut utoipa::openapi::OpenApi) {
    name_operations(document);
    links::add(document);
    reference::describe(document);
}

/// Names each operation by method and path: handlers of two resources may have
/// the same name, an operation's must be unique (OpenAPI 3.1, section 4.8.10).
fn name_operations(document: &mut utoipa::openapi::OpenApi) {
    for (path, item) in &mut document.paths.paths {
        let name: Vec<&str> = path
            .trim_start_matches("/v1/")
            .split(['/', '-', '{', '}', '.'])
            .filter(|part| !part.is_empty())
            .collect();
        let name = name.join("_");
        let methods = [
            ("get", &mut item.get),
            ("post", &mut item.post),
            ("put", &mut item.put),
            ("delete", &mut item.delete),
        ];
        for (method, operation) in methods {
            if let Some(operation) = operation {
                operation.operation_id = Some(format!("{method}_{name}"));
            }
        }
    }
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "Armour", description = "Armour's control plane."),
    components(schemas(armour_api::Event, armour_api::PairSort)),
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
