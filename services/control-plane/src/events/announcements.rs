//! Announces tenants with new events to all replicas, after their transactions.

use std::time::Duration;

use armour_storage::{Announcer, Store};
use tokio_util::sync::CancellationToken;

/// How often they are announced at most: 50 times a second.
const EVERY: Duration = Duration::from_millis(20);
/// How long it takes to try again.
const RETRY: Duration = Duration::from_millis(500);
/// How long the last ones may take.
const LAST: Duration = Duration::from_secs(1);

/// Announces what this process commits, until cancelled: then what there is, once more.
pub fn start(store: Store, stopping: CancellationToken) {
    tokio::spawn(async move {
        while !stopping.is_cancelled() {
            let Err(error) = announce(&store, &stopping).await else {
                return;
            };
            tracing::warn!(%error, "announcing events failed; trying again");
            stopping
                .run_until_cancelled(tokio::time::sleep(RETRY))
                .await;
        }
    });
}

async fn announce(
    store: &Store,
    stopping: &CancellationToken,
) -> Result<(), armour_storage::StorageError> {
    let mut announcer = store.announcer().await?;
    loop {
        if stopping
            .run_until_cancelled(announcer.wait())
            .await
            .is_none()
        {
            return last(announcer).await;
        }
        announcer.announce().await?;
        tokio::time::sleep(EVERY).await;
    }
}

async fn last(mut announcer: Announcer) -> Result<(), armour_storage::StorageError> {
    let done = async {
        announcer.announce().await?;
        announcer.close().await;
        Ok(())
    };
    // Streams look by themselves before long.
    tokio::time::timeout(LAST, done).await.unwrap_or(Ok(()))
}
