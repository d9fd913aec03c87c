//! Tenants, their quotas and their state at a glance.

mod overview;
mod tenants;

use utoipa_axum::router::OpenApiRouter;

use crate::app::App;

/// The domain's routes.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(overview::routes())
        .merge(tenants::routes())
}
