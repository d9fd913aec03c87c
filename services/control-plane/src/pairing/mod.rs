//! Parties and their pairs, the endpoints that enrol for them, and their bundles.

mod bundles;
pub mod endpoint;
mod endpoints;
mod enrolment;
mod pairs;
mod parties;

use utoipa_axum::router::OpenApiRouter;

use crate::app::App;

/// The domain's routes.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(parties::routes())
        .merge(pairs::routes())
        .merge(enrolment::routes())
        .merge(endpoints::routes())
        .merge(bundles::routes())
        .merge(endpoint::routes())
}
