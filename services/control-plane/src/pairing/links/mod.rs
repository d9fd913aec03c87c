//! `/v1/endpoint/links`: the one chain by which an endpoint's start tells what it does. Each
//! kind of link has a file of its own.

mod acknowledge;
mod chain;
mod disown;
mod draws;
mod foreign_checkpoints;
mod heartbeat;
mod intruder;
mod outcome;
mod renew;
mod request;
mod retire;
mod send;
mod take;
mod told;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, FromRef};
use utoipa_axum::{router::OpenApiRouter, routes};

pub use draws::DrawTogether;

use super::fleet_watch::FleetWatch;
use crate::{identity::authn::Authn, platform::group_commit::GroupCommit};

/// The route.
pub const PATH: &str = "/v1/endpoint/links";
/// Largest body of a call with a link, in bytes: one retires every lane of a bundle.
pub const BODY_LIMIT: usize = 6 * 1024 * 1024;

/// The routes.
pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<Authn>: FromRef<S>,
    Arc<FleetWatch>: FromRef<S>,
    Arc<GroupCommit<DrawTogether>>: FromRef<S>,
{
    OpenApiRouter::new()
        .routes(routes!(send::send))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
}
