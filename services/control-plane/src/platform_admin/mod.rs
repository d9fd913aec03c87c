//! The service itself: its keys, its health and its upkeep.

pub mod health;
mod master_keys;
pub mod presence;
pub mod rotation;
mod routes;
pub mod upkeep;

use std::sync::Arc;

use armour_storage::Store;
use axum::extract::FromRef;
use utoipa_axum::router::OpenApiRouter;

use self::health::Readiness;
use crate::{identity::authn::Authn, platform::egress::Egresses};

/// The domain's routes.
pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<Authn>: FromRef<S>,
    Store: FromRef<S>,
    Readiness: FromRef<S>,
    Egresses: FromRef<S>,
{
    OpenApiRouter::new()
        .merge(health::routes())
        .merge(routes::routes())
}
