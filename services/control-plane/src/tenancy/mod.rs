//! Tenants, their quotas and their state at a glance.

mod overview;
mod tenants;

use std::sync::Arc;

use armour_storage::Store;
use axum::extract::FromRef;
use utoipa_axum::router::OpenApiRouter;

use crate::identity::authn::Authn;

/// The domain's routes.
pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<Authn>: FromRef<S>,
    Store: FromRef<S>,
{
    OpenApiRouter::new()
        .merge(overview::routes())
        .merge(tenants::routes())
}
