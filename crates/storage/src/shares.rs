//! A tenant's share of the connections: however many calls it makes at once, others have theirs.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use crate::error::{Result, StorageError};

/// A connection of a tenant's share; it goes back when this is dropped.
pub type Share = OwnedSemaphorePermit;

/// What each tenant has of the connections for calls.
#[derive(Clone)]
pub struct Shares(Option<Arc<Inner>>);

struct Inner {
    each: usize,
    wait: Duration,
    tenants: parking_lot::Mutex<HashMap<Uuid, Arc<Semaphore>>>,
}

/// After so many tenants those that hold nothing are forgotten.
const MAX_KEPT: usize = 4096;

impl Shares {
    /// Half of the connections each, if there are enough of them; `wait` bounds how long a call
    /// waits for its tenant's others.
    pub fn new(connections: u32, wait: Duration) -> Self {
        let each = usize::try_from(connections.div_ceil(2).max(2)).unwrap_or(2);
        Self(Some(Arc::new(Inner {
            each,
            wait,
            tenants: parking_lot::Mutex::default(),
        })))
    }

    /// No bound.
    pub fn none() -> Self {
        Self(None)
    }

    /// Waits for one of the tenant's own; they come in the order in which they were asked for.
    ///
    /// # Errors
    /// [`StorageError::TenantBusy`] if it takes too long.
    pub async fn take(&self, tenant: Uuid) -> Result<Option<Share>> {
        let Some(inner) = &self.0 else {
            return Ok(None);
        };
        let semaphore = {
            let mut tenants = inner.tenants.lock();
            if tenants.len() >= MAX_KEPT && !tenants.contains_key(&tenant) {
                tenants.retain(|_, kept| Arc::strong_count(kept) > 1);
            }
            let new = || Arc::new(Semaphore::new(inner.each));
            tenants.entry(tenant).or_insert_with(new).clone()
        };
        match tokio::time::timeout(inner.wait, semaphore.acquire_owned()).await {
            Ok(Ok(share)) => Ok(Some(share)),
            Ok(Err(_)) | Err(_) => Err(StorageError::TenantBusy),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn m5_a_tenant_has_half_of_the_connections_and_waits_for_no_other() {
        let shares = Shares::new(12, Duration::from_secs(5));
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut held = Vec::new();
        for _ in 0..6 {
            held.push(shares.take(one).await.unwrap());
        }
        let refused = shares.take(one).await;
        assert!(matches!(refused, Err(StorageError::TenantBusy)));
        assert!(shares.take(other).await.is_ok());
        held.pop();
        assert!(shares.take(one).await.is_ok());
    }

    #[tokio::test]
    async fn shares_that_nobody_holds_are_forgotten() {
        let shares = Shares::new(12, Duration::from_secs(5));
        let held = shares.take(Uuid::from_u128(1)).await.unwrap();
        for n in 2..10_000 {
            drop(shares.take(Uuid::from_u128(n)).await.unwrap());
        }
        let kept = shares.0.as_ref().unwrap().tenants.lock();
        assert!(kept.len() <= MAX_KEPT && kept.contains_key(&Uuid::from_u128(1)));
        drop((kept, held));
    }
}
