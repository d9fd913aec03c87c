//! `/v1/auth/…`: people sign in with their tenant's issuers, and are signed out by
//! them.

mod back_channel_logout;
mod browser;
mod callback;
mod choices;
mod flow_cookie;
mod login;

use std::sync::Arc;

use axum::extract::FromRef;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::identity::oidc::Oidc;

/// The routes, in the order in which a person comes by them.
pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<Oidc>: FromRef<S>,
{
    OpenApiRouter::new()
        .routes(routes!(choices::choices))
        .routes(routes!(login::login))
        .routes(routes!(callback::callback))
        .routes(routes!(back_channel_logout::back_channel_logout))
}
