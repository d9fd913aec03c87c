//! Replicas say that they are there.

use std::time::Duration;

use armour_storage::Store;
use uuid::Uuid;

use crate::{http::problem::ApiResult, jobs::Job};

/// Says now and then that this replica is there.
pub fn job(store: Store, replica: Uuid) -> Job {
    let pause = Duration::from_secs(15);
    Job::new("presence", pause, (store, replica), be_present)
}

/// Says that this replica is there, and looks at the database's clock.
async fn be_present((store, replica): (Store, Uuid)) -> ApiResult<()> {
    store.set_clock().await?;
    let mut tx = store.platform().await?;
    tx.replicas()
        .touch(replica, env!("CARGO_PKG_VERSION"))
        .await?;
    tx.commit().await?;
    Ok(())
}
