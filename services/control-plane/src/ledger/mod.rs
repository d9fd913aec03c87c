//! The ledger of exchanges: what is recorded, what contradicts it, and its restart.

pub mod collision;
mod collisions;
pub mod disconnect;
pub mod disputes;
mod evidence;
pub mod fence;
mod fences;
mod receipts;
pub mod record;
mod reports;
pub mod testimony;
pub mod unwitnessed;

use std::sync::Arc;

use armour_storage::Store;
use axum::extract::FromRef;
use utoipa_axum::router::OpenApiRouter;

use self::record::Ledger;
use crate::{identity::authn::Authn, platform::group_commit::GroupCommit};

/// The domain's routes.
pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<Authn>: FromRef<S>,
    Store: FromRef<S>,
    Arc<GroupCommit<Ledger>>: FromRef<S>,
{
    OpenApiRouter::new()
        .merge(collisions::routes())
        .merge(fences::routes())
        .merge(receipts::routes())
        .merge(reports::routes())
}
