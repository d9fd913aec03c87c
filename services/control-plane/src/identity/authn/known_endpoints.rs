//! The endpoints that there are, made known to a replica that starts. Otherwise each would be a
//! stranger to it until it is first heard, and would wait with whoever floods it: after a restart
//! in the middle of a flood, none of them would get through.

use std::{collections::VecDeque, sync::Arc, time::Duration};

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

/// Before a tenant is tried again whose endpoints could not be read.
const AGAIN: Duration = Duration::from_secs(1);
/// How often the same page is read in vain.
const MAX_FAILURES: u32 = 3;

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

/// How many were found, until no more are kept: a page of each tenant, then another of those that
/// have more, so that no tenant takes all places before another has any.
async fn read(store: &Store, authn: &Authn) -> ApiResult<usize> {
    let (mut at, mut count) = (PLATFORM, 0);
    let mut more = VecDeque::new();
    while let Some(tenant) = store.next_tenant(at).await? {
        at = tenant;
        let next = Next::first(tenant);
        let page = page(store, authn, &next).await;
        let Some(found) = taken(next, page, &mut more).await else {
            return Ok(count);
        };
        count += found;
    }
    while let Some(next) = more.pop_front() {
        let page = page(store, authn, &next).await;
        let Some(found) = taken(next, page, &mut more).await else {
            return Ok(count);
        };
        count += found;
    }
    Ok(count)
}

/// A page of a tenant's endpoints that is to be read.
struct Next {
    tenant: Uuid,
    after: Uuid,
    failures: u32,
}

impl Next {
    fn first(tenant: Uuid) -> Self {
        Self {
            tenant,
            after: Uuid::nil(),
            failures: 0,
        }
    }
}

/// What came of reading a page.
enum Page {
    /// No more are kept.
    Full,
    /// So many were found, the last of which was this one, if there were any.
    Found(usize, Option<Uuid>),
}

/// How many a page held, with its tenant put at the end of those that have more; none if no more
/// are kept. A page that could not be read is read again, a few times.
async fn taken(mut next: Next, page: ApiResult<Page>, more: &mut VecDeque<Next>) -> Option<usize> {
    match page {
        Ok(Page::Full) => None,
        Ok(Page::Found(count, last)) => {
            more.extend(last.map(|last| Next {
                after: last,
                ..Next::first(next.tenant)
            }));
            Some(count)
        }
        Err(error) => {
            let (tenant, error) = (next.tenant, error.detail());
            tracing::warn!(%tenant, error, "a tenant's endpoints are not known yet");
            next.failures += 1;
            if next.failures < MAX_FAILURES {
                tokio::time::sleep(AGAIN).await;
                more.push_back(next);
            }
            Some(0)
        }
    }
}

async fn page(store: &Store, authn: &Authn, next: &Next) -> ApiResult<Page> {
    let tenant = next.tenant;
    let mut tx = store.tenant(tenant).await?;
    let found = tx.starts().living_keys(next.after).await?;
    drop(tx);
    let (count, last) = (found.len(), found.last().map(|last| last.endpoint));
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
            return Ok(Page::Full);
        }
    }
    Ok(Page::Found(count, last))
}
