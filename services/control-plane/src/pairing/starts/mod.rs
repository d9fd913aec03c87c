//! `/v1/endpoint/starts`, `/v1/endpoint/presence`, and people's view of both: how an endpoint's process becomes the
//! endpoint, and what happens if another one lives.

mod accept;
mod announce;
mod choose;
mod dispute;
mod list;
mod lookup;
mod presence;
mod verdict;

use std::sync::Arc;

use axum::extract::FromRef;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::identity::authn::Authn;

pub use accept::leave;
pub use dispute::{end_both, is_over};

/// The routes.
pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<Authn>: FromRef<S>,
{
    OpenApiRouter::new()
        .routes(routes!(announce::announce))
        .routes(routes!(presence::answer))
        .routes(routes!(choose::choose))
        .routes(routes!(list::starts))
        .routes(routes!(list::disputes))
}
