//! The endpoints that there are, made known to a replica that starts. Otherwise each would be a
//! stranger to it until it is first heard, and would wait with whoever floods it: after a restart
//! in the middle of a flood, none of them would get through.

use std::{sync::Arc, time::Duration};

use armour_storage::{PLATFORM, Store};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    signed_calls::{KnownKeys, Signatory},
    state::Authn,
};
use crate::http::problem::ApiResult;

/// How long a start waits for it. Whoever is not known by then is so a little later.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes them known, as many as are kept; what that takes longer than ten seconds is done while
/// calls are served. If the database does not answer, each becomes known as it is heard.
pub async fn load(authn: &Arc<Authn>, stopping: &CancellationToken) {
    let (authn, stopping) = (authn.clone(), stopping.clone());
    let loading = tokio::spawn(async move {
        let store = authn.store.for_jobs();
        match stopping.run_until_cancelled(read(&store, &authn)).await {
            Some(Ok(count)) => tracing::debug!(count, "endpoints are known"),
            Some(Err(error)) => tracing::warn!(
                error = error.detail(),
                "endpoints are not known before they are heard"
            ),
            None => {}
        }
    });
    // Dropped, it goes on.
    let _ = tokio::time::timeout(PATIENCE, loading).await;
}

/// How many were found, until no more are kept.
async fn read(store: &Store, authn: &Authn) -> ApiResult<usize> {
    let (mut at, mut count) = (PLATFORM, 0);
    while let Some(tenant) = store.next_tenant(at).await? {
        at = tenant;
        let mut after = Uuid::nil();
        loop {
            let mut tx = store.tenant(tenant).await?;
            let found = tx.starts().living_keys(after).await?;
            drop(tx);
            let Some(last) = found.last() else {
                break;
            };
            after = last.endpoint;
            for one in found {
                let by = Signatory {
                    tenant,
                    endpoint: one.endpoint,
                };
                let keys = KnownKeys {
                    long_term: Some(one.long_term),
                    start: Some((one.start, one.keys)),
                };
                if !authn.signed_calls.learn(by, keys) {
                    return Ok(count);
                }
                count += 1;
            }
        }
    }
    Ok(count)
}
