//! `/v1/endpoint/…`: what endpoints ask: themselves, bundles, the log.

mod assignments;
mod grant;
mod log;
mod own;
mod pending;
mod token;

use std::sync::Arc;

use axum::extract::FromRef;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::fleet_watch::FleetWatch;
use crate::identity::authn::Authn;

/// The routes, in the order in which an endpoint first calls them.
pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<Authn>: FromRef<S>,
    Arc<FleetWatch>: FromRef<S>,
{
    OpenApiRouter::new()
        .routes(routes!(token::token))
        .routes(routes!(own::own))
        .routes(routes!(log::log))
        .routes(routes!(assignments::assignments))
        .routes(routes!(pending::pending))
        .routes(routes!(grant::grant))
}
