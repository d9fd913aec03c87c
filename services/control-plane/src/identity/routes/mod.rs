//! Credentials, issuers, sessions and signing in.

mod api_tokens;
mod issuers;
mod sessions;
mod sign_in;

use utoipa_axum::router::OpenApiRouter;

use crate::app::App;

/// The domain's routes.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(sign_in::routes())
        .merge(sessions::routes())
        .merge(issuers::routes())
        .merge(api_tokens::routes())
}
