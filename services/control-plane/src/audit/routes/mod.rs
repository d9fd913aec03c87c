//! `/v1/audit`: who did what, and the proof that nobody changed it since.

mod consistency;
mod export;
mod head;
mod list;
mod proof;
mod rotate_key;

use std::sync::Arc;

use armour_storage::Store;
use axum::extract::FromRef;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::identity::authn::Authn;

pub use head::Since;
pub use list::Before;

/// The routes.
pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<Authn>: FromRef<S>,
    Store: FromRef<S>,
{
    OpenApiRouter::new()
        .routes(routes!(list::list))
        .routes(routes!(head::head))
        .routes(routes!(consistency::consistency))
        .routes(routes!(proof::proof))
        .routes(routes!(export::export))
        .routes(routes!(rotate_key::rotate_key))
}
