//! `/v1/pairs`: who may call whom, and under which policy.

mod create;
mod disconnect;
mod get;
mod list;
mod re_arm;
mod set_policy;
mod traffic;

use std::sync::Arc;

use axum::extract::FromRef;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::identity::authn::Authn;

/// The routes.
pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<Authn>: FromRef<S>,
{
    OpenApiRouter::new()
        .routes(routes!(create::create, list::list))
        .routes(routes!(get::get))
        .routes(routes!(set_policy::set_policy))
        .routes(routes!(disconnect::disconnect))
        .routes(routes!(re_arm::re_arm))
        .routes(routes!(traffic::traffic))
}
