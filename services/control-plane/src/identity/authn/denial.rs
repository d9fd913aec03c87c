//! Attempts that were denied, in the audit log of the tenant that they concern.
//!
//! Only credentials that exist are noted: whoever sends garbage concerns nobody,
//! and must not be able to fill a tenant's log.

use std::num::NonZeroU32;

use armour_storage::{Actor, IdentityAction, Store};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota};
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

/// What kind of attempt it was. Each has a share of its own in what is noted: whoever can make
/// many of one kind, with no credentials, keeps none of the others out of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Attempt {
    /// By somebody who holds the credentials.
    Credential,
    /// In the name of credentials, without what proves them: it takes no more than their id.
    Guess,
    /// To sign in.
    SignIn,
    /// By a workload that no rule admits.
    Workload,
    /// To do what the platform's administrator may, with no credentials that exist: anybody who
    /// reaches the service can make as many as they like.
    Platform,
}

/// Notes denied attempts, though no faster than anybody would read.
pub struct DenialLog {
    store: Store,
    limiter: DefaultKeyedRateLimiter<(Uuid, Attempt)>,
    of_endpoints: DefaultKeyedRateLimiter<(Uuid, String)>,
    of_anybody: DefaultDirectRateLimiter,
}

impl DenialLog {
    /// Notes them in this database.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            limiter: DefaultKeyedRateLimiter::keyed(Quota::per_minute(MAX_NOTES)),
            of_endpoints: DefaultKeyedRateLimiter::keyed(Quota::per_minute(MAX_OF_AN_ENDPOINT)),
            of_anybody: DefaultDirectRateLimiter::direct(Quota::per_hour(MAX_OF_ANYBODY)),
        }
    }

    /// Writes an attempt's entry, of what an endpoint is denied for one reason one a minute: its
    /// agent tries on by itself. The denial stands whether that succeeds or not.
    pub async fn note(&self, denied: &Denied<'_>, attempt: Attempt, why: &str) {
        if let (Attempt::Credential, Actor::Endpoint(id)) = (attempt, &denied.actor) {
            if self.of_endpoints.len() > MAX_KEPT {
                self.of_endpoints.retain_recent();
            }
            if self.of_endpoints.check_key(&(*id, why.to_owned())).is_err() {
                return;
            }
        }
        let action = IdentityAction::AccessDeny {
            route: &denied.route.to_string(),
            why,
        };
        self.write(denied.tenant, attempt, &denied.actor, action)
            .await;
    }

    /// Writes the entry of an attempt of any kind, as [`Self::note`] does.
    pub async fn write(
        &self,
        tenant: Uuid,
        attempt: Attempt,
        actor: &Actor,
        action: IdentityAction<'_>,
    ) {
        if self.limiter.len() > MAX_KEPT {
            self.limiter.retain_recent();
        }
        let within = match attempt {
            Attempt::Platform => self.of_anybody.check().is_ok(),
            _ => self.limiter.check_key(&(tenant, attempt)).is_ok(),
        };
        if !within {
            tracing::warn!(%tenant, %actor, ?action, "denied; too many to note");
            return;
        }
        let written = async {
            let mut tx = self.store.tenant(tenant).await?;
            tx.audit_log().append(actor, action).await?;
            tx.commit().await
        };
        if let Err(error) = written.await {
            tracing::error!(%error, %tenant, %actor, ?action, "cannot note a denied attempt");
        }
    }
}

/// Notes a minute, tenant and kind of attempt; what exceeds it is logged by the service alone.
const MAX_NOTES: NonZeroU32 = NonZeroU32::new(60).expect("not zero");
/// Notes a minute of what an endpoint is denied for one reason.
const MAX_OF_AN_ENDPOINT: NonZeroU32 = NonZeroU32::new(1).expect("not zero");
/// Notes an hour of attempts that take no credentials at all: the log is kept for good.
const MAX_OF_ANYBODY: NonZeroU32 = NonZeroU32::new(20).expect("not zero");
/// Of how many tenants' kinds the notes are counted before those of long ago are forgotten.
const MAX_KEPT: usize = 100_000;
