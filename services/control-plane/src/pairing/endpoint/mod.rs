//! `/v1/endpoint/…`: what endpoints ask: themselves, bundles, heartbeats.

mod acknowledge;
mod disown;
mod disown_successor;
mod grant;
mod heartbeat;
mod log;
mod own;
mod request_bundle;
mod token;

use std::sync::Arc;

use axum::extract::FromRef;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::identity::authn::Authn;

/// The routes, in the order in which an endpoint first calls them.
pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<Authn>: FromRef<S>,
{
    OpenApiRouter::new()
        .routes(routes!(token::token))
        .routes(routes!(own::own))
        .routes(routes!(log::log))
        .routes(routes!(heartbeat::heartbeat))
        .routes(routes!(request_bundle::request_bundle))
        .routes(routes!(grant::grant))
        .routes(routes!(acknowledge::acknowledge))
        .routes(routes!(disown::disown))
        .routes(routes!(disown_successor::disown_successor))
}
