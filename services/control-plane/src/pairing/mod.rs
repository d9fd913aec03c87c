//! Parties and their pairs, the endpoints that enrol for them, and their bundles.

pub mod access;
mod addresses;
mod alive;
pub mod assignments;
mod bundles;
mod certificate;
mod endpoint;
mod endpoints;
mod enrolment;
mod fenced;
mod fleet;
mod fleet_watch;
mod issuance;
mod links;
pub mod lost_endpoints;
mod pairs;
mod parties;
mod phases;
mod starts;

use std::sync::Arc;

use axum::extract::FromRef;
pub use fleet_watch::FleetWatch;
pub use links::DrawTogether;
use utoipa_axum::router::OpenApiRouter;

use crate::{
    identity::{authn::Authn, oidc::Oidc},
    platform::group_commit::GroupCommit,
};

/// The routes whose bodies may be larger than others', each with its limit in bytes.
pub const LARGE_BODIES: [(&str, usize); 1] = [(links::PATH, links::BODY_LIMIT)];

/// The domain's routes.
pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<Authn>: FromRef<S>,
    Arc<Oidc>: FromRef<S>,
    Arc<FleetWatch>: FromRef<S>,
    Arc<GroupCommit<DrawTogether>>: FromRef<S>,
{
    OpenApiRouter::new()
        .merge(parties::routes())
        .merge(pairs::routes())
        .merge(enrolment::routes())
        .merge(endpoints::routes())
        .merge(bundles::routes())
        .merge(starts::routes())
        .merge(links::routes())
        .merge(endpoint::routes())
}
