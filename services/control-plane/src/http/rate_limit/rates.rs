//! Tenants' rates, which all replicas keep to together.

use std::collections::HashMap;

use armour_api::ProblemType;
use armour_storage::{Store, Urgency};
use axum::http::request::Parts;
use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use super::slot::{RateLimitSlot, RateState, WINDOW};
use crate::http::problem::{ApiError, ApiResult};

/// A replica leases this part of a tenant's rate at a time.
const LEASES: u32 = 50;

/// Whose rate a request counts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// People and API tokens.
    Members,
    /// Endpoints.
    Endpoints,
}

/// What this replica holds of tenants' rates.
#[derive(Default)]
pub struct Rates(Mutex<HashMap<(Uuid, Class), LeasedQuota>>);

#[derive(Debug, Clone, Copy)]
struct LeasedQuota {
    limit: u32,
    granted: u32,
    left: u32,
    window: DateTime<Utc>,
    until: Instant,
}

/// Spends one request of the tenant's rate, from what this replica has leased.
/// Returns whether it could.
///
/// # Errors
/// 429 `rate-limited` if none is left in the window.
pub fn consume_leased(parts: &Parts, rates: &Rates, tenant: Uuid, class: Class) -> ApiResult<bool> {
    match rates.take_leased(tenant, class) {
        Some(state) => report(parts, state).map(|()| true),
        None => Ok(false),
    }
}

/// Refuses a request at once if nothing is left of the tenant's rate, and spends nothing of it.
///
/// # Errors
/// 429 `rate-limited`.
pub fn refuse_spent(parts: &Parts, rates: &Rates, tenant: Uuid, class: Class) -> ApiResult<()> {
    match rates.spent(tenant, class) {
        Some(state) => report(parts, state),
        None => Ok(()),
    }
}

/// Spends one request of the tenant's rate, leasing more if need be: in a transaction of its own,
/// so none of the tenant's is held meanwhile.
///
/// # Errors
/// 429 `rate-limited` if none is left in the window.
pub async fn consume(
    parts: &Parts,
    rates: &Rates,
    store: &Store,
    tenant: Uuid,
    class: Class,
) -> ApiResult<()> {
    report(parts, rates.consume(store, tenant, class).await?)
}

fn report(parts: &Parts, state: RateState) -> ApiResult<()> {
    if let Some(slot) = parts.extensions.get::<RateLimitSlot>() {
        slot.set(state);
    }
    if state.exceeded {
        return Err(ApiError::new(
            ProblemType::RateLimited,
            format!(
                "the tenant may make {} requests in {WINDOW} seconds; wait {} s",
                state.limit, state.resets_in
            ),
        ));
    }
    Ok(())
}

impl Rates {
    async fn consume(&self, store: &Store, tenant: Uuid, class: Class) -> ApiResult<RateState> {
        if let Some(state) = self.take_leased(tenant, class) {
            return Ok(state);
        }
        let urgency = match class {
            Class::Members => Urgency::Members,
            Class::Endpoints => Urgency::Life,
        };
        let mut tx = store.tenant_for(tenant, urgency).await?;
        let quotas = tx.quotas().get().await?;
        drop(tx);
        let (name, limit) = match class {
            Class::Members => ("members", quotas.requests),
            Class::Endpoints => ("endpoints", quotas.endpoint_requests),
        };
        let wanted = (limit / LEASES).max(1);
        let lease = store
            .lease_rate(tenant, name, WINDOW, limit, wanted, urgency)
            .await?;
        let mut leased = self.0.lock();
        if leased.len() > 100_000 {
            leased.retain(|_, leased| leased.until > Instant::now());
        }
        let entry = leased.entry((tenant, class)).or_insert(LeasedQuota {
            limit,
            granted: 0,
            left: 0,
            window: lease.window,
            until: Instant::now(),
        });
        // What is over from the window before is lost with it; what another call
        // has leased meanwhile is not.
        if entry.window != lease.window {
            entry.granted = 0;
        }
        entry.limit = limit;
        entry.granted += lease.granted;
        entry.left = lease.left;
        entry.window = lease.window;
        entry.until = Instant::now() + lease.resets_in;
        Ok(entry.take())
    }

    /// The tenant's rate, if this replica knows that nothing is left of it for anybody.
    fn spent(&self, tenant: Uuid, class: Class) -> Option<RateState> {
        let mut leased = self.0.lock();
        let entry = leased.get_mut(&(tenant, class))?;
        let spent = entry.granted == 0 && entry.left == 0 && entry.until > Instant::now();
        spent.then(|| entry.take())
    }

    /// From what this replica holds, unless it has to lease more.
    fn take_leased(&self, tenant: Uuid, class: Class) -> Option<RateState> {
        let mut leased = self.0.lock();
        let entry = leased.get_mut(&(tenant, class))?;
        // Nothing left for anybody needs no asking until the window ends.
        let known = entry.granted > 0 || entry.left == 0;
        (known && entry.until > Instant::now()).then(|| entry.take())
    }
}

impl LeasedQuota {
    fn take(&mut self) -> RateState {
        let exceeded = self.granted == 0;
        self.granted = self.granted.saturating_sub(1);
        RateState {
            limit: self.limit,
            left: self.left.saturating_add(self.granted),
            resets_in: self
                .until
                .saturating_duration_since(Instant::now())
                .as_secs()
                + 1,
            exceeded,
        }
    }
}
