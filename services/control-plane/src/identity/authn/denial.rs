//! Attempts that were denied, in the audit log of the tenant that they concern.
//!
//! Only credentials that exist are noted: whoever sends garbage concerns nobody,
//! and must not be able to fill a tenant's log.

use std::num::NonZeroU32;

use armour_storage::{Actor, IdentityAction, Store};
use governor::{DefaultKeyedRateLimiter, Quota};
use uuid::Uuid;

use super::route::Route;

/// An attempt.
pub struct Denied<'a> {
    /// The tenant it concerns.
    pub tenant: Uuid,
    /// Whose credentials were used.
    pub actor: Actor,
    /// What was tried.
    pub route: &'a Route,
}

/// Notes denied attempts, though no faster than anybody would read.
pub struct DenialLog {
    store: Store,
    limiter: DefaultKeyedRateLimiter<Uuid>,
}

impl DenialLog {
    /// Notes them in this database.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            limiter: DefaultKeyedRateLimiter::keyed(Quota::per_minute(MAX_NOTES)),
        }
    }

    /// Writes an attempt's entry. The denial stands whether that succeeds or not.
    pub async fn note(&self, denied: &Denied<'_>, why: &str) {
        let Denied {
            tenant,
            actor,
            route,
        } = denied;
        if self.limiter.check_key(tenant).is_err() {
            tracing::warn!(%tenant, %actor, %route, why, "denied; too many to note");
            return;
        }
        let written = async {
            let mut tx = self.store.tenant(*tenant).await?;
            let action = IdentityAction::AccessDeny {
                route: &route.to_string(),
                why,
            };
            tx.audit_log().append(actor, action).await?;
            tx.commit().await
        };
        if let Err(error) = written.await {
            tracing::error!(%error, %tenant, %actor, %route, why, "cannot note a denied attempt");
        }
    }
}

/// Notes a minute and tenant; what exceeds it is logged by the service alone.
const MAX_NOTES: NonZeroU32 = NonZeroU32::new(60).expect("not zero");
