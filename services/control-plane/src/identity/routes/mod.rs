//! Credentials, issuers, sessions and signing in.

mod api_tokens;
mod issuers;
mod sessions;
mod sign_in;

use crate::identity::authn::Authn;
use crate::identity::oidc::Oidc;
use crate::platform::egress::Egress;
use axum::extract::FromRef;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;

/// The domain's routes.
pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<Authn>: FromRef<S>,
    Arc<Oidc>: FromRef<S>,
    Egress: FromRef<S>,
{
    OpenApiRouter::new()
        .merge(sign_in::routes())
        .merge(sessions::routes())
        .merge(issuers::routes())
        .merge(api_tokens::routes())
}
