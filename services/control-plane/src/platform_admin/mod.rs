//! The service itself: its keys, its health and its upkeep.

mod health;
pub mod rotation;
mod routes;
pub mod upkeep;

use utoipa_axum::router::OpenApiRouter;

use crate::app::App;

/// The domain's routes.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(health::routes())
        .merge(routes::routes())
}
