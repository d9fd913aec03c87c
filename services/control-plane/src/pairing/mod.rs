//! Parties and their pairs, the endpoints that enrol for them, and their bundles.

mod access;
mod bundles;
mod endpoint;
mod endpoints;
mod enrolment;
mod issuance;
pub mod lost_endpoints;
mod pairs;
mod parties;

use std::sync::Arc;

use axum::extract::FromRef;
use utoipa_axum::router::OpenApiRouter;

use crate::identity::{authn::Authn, oidc::Oidc};

/// The domain's routes.
pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<Authn>: FromRef<S>,
    Arc<Oidc>: FromRef<S>,
{
    OpenApiRouter::new()
        .merge(parties::routes())
        .merge(pairs::routes())
        .merge(enrolment::routes())
        .merge(endpoints::routes())
        .merge(bundles::routes())
        .merge(endpoint::routes())
}
