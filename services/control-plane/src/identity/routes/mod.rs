//! Credentials, issuers, sessions and signing in.

mod api_tokens;
mod issuers;
mod sessions;
mod sign_in;

use std::sync::Arc;

use axum::extract::FromRef;
use utoipa_axum::router::OpenApiRouter;

use crate::{
    identity::{authn::Authn, oidc::Oidc},
    platform::egress::Egresses,
};

/// The domain's routes.
pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<Authn>: FromRef<S>,
    Arc<Oidc>: FromRef<S>,
    Egresses: FromRef<S>,
{
    OpenApiRouter::new()
        .merge(sign_in::routes())
        .merge(sessions::routes())
        .merge(issuers::routes())
        .merge(api_tokens::routes())
}
