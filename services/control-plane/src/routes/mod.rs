//! One file a resource.

mod api_tokens;
mod audit;
mod bundles;
mod collisions;
mod endpoint;
mod endpoints;
mod enrolment;
mod events;
mod fences;
mod health;
mod issuers;
mod overview;
mod pairs;
mod parties;
mod platform;
mod reports;
mod sessions;
mod sign_in;
mod tenants;
mod webhooks;

use utoipa_axum::router::OpenApiRouter;

use crate::state::App;

/// Every route.
pub fn all() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(health::routes())
        .merge(overview::routes())
        .merge(platform::routes())
        .merge(tenants::routes())
        .merge(sign_in::routes())
        .merge(sessions::routes())
        .merge(issuers::routes())
        .merge(api_tokens::routes())
        .merge(parties::routes())
        .merge(pairs::routes())
        .merge(enrolment::routes())
        .merge(endpoints::routes())
        .merge(bundles::routes())
        .merge(collisions::routes())
        .merge(audit::routes())
        .merge(webhooks::routes())
        .merge(events::routes())
        .merge(fences::routes())
        .merge(endpoint::routes())
        .merge(reports::routes())
}
