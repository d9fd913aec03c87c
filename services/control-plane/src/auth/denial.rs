//! Attempts that were denied, in the audit log of the tenant that they concern.
//!
//! Only credentials that exist are noted: whoever sends garbage concerns nobody,
//! and must not be able to fill a tenant's log.

use armour_storage::Actor;
use governor::{DefaultKeyedRateLimiter, Quota};
use serde_json::json;
use std::num::NonZeroU32;
use uuid::Uuid;

use super::Route;
use crate::state::App;

/// Notes a minute and tenant; what exceeds it is logged by the service alone.
const NOTES: NonZeroU32 = NonZeroU32::new(60).expect("not zero");

/// Limits how fast denied attempts fill a log.
pub struct Notes(DefaultKeyedRateLimiter<Uuid>);

impl Default for Notes {
    fn default() -> Self {
        Self(DefaultKeyedRateLimiter::keyed(Quota::per_minute(NOTES)))
    }
}

/// An attempt.
pub struct Denied<'a> {
    /// The tenant it concerns.
    pub tenant: Uuid,
    /// Whose credentials were used.
    pub actor: Actor,
    /// What was tried.
    pub route: &'a Route,
}

impl Denied<'_> {
    /// Writes the entry. The denial stands whether that succeeds or not.
    pub async fn note(&self, app: &App, why: &str) {
        let (tenant, actor, route) = (self.tenant, &self.actor, self.route);
        if app.notes.0.check_key(&tenant).is_err() {
            tracing::warn!(%tenant, %actor, %route, why, "denied; too many to note");
            return;
        }
        let written = async {
            let mut tx = app.store.tenant(tenant).await?;
            tx.audit_log()
                .append(actor, "access.deny", route, json!({ "why": why }))
                .await?;
            tx.commit().await
        };
        if let Err(error) = written.await {
            tracing::error!(%error, %tenant, %actor, %route, why, "cannot note a denied attempt");
        }
    }
}
