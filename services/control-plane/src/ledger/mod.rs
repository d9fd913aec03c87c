//! The ledger of tickets: what is recorded, what contradicts it, and its restart.

pub mod collision;
mod collisions;
pub mod fence;
mod fences;
pub mod record;
mod reports;

use utoipa_axum::router::OpenApiRouter;

use crate::app::App;

/// The domain's routes.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(collisions::routes())
        .merge(fences::routes())
        .merge(reports::routes())
}
