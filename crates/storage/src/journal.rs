//! Events for those who watch, and the audit log.

use armour_api::{AuditEntry, Event, Page};
use serde_json::Value;
use uuid::Uuid;

use crate::{PAGE, Result, Tx};

/// The channel on which a tenant's id is notified when it has new events.
pub const EVENTS_CHANNEL: &str = "armour_events";

/// Who acts.
#[derive(Debug, Clone, Copy)]
pub enum Actor {
    /// The platform's administrator.
    Platform,
    /// The holder of an API token.
    Token(Uuid),
    /// An endpoint.
    Endpoint(Uuid),
    /// The holder of an enrolment token.
    Enrolment(Uuid),
}

/// An event to be recorded.
#[derive(Debug, Default)]
pub struct NewEvent {
    /// For example `bundle.disconnected`.
    pub kind: &'static str,
    /// The pair concerned.
    pub pair: Option<Uuid>,
    /// The bundle concerned.
    pub bundle: Option<Uuid>,
    /// The endpoint concerned.
    pub endpoint: Option<Uuid>,
    /// More, for people.
    pub detail: Value,
}

impl Tx {
    /// Records an event. Its number is the tenant's next: the tenant's row is
    /// locked, so that the order of numbers is the order of commits and a
    /// reader that resumes after a number misses none.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn record_event(&mut self, event: &NewEvent) -> Result<i64> {
        let seq = sqlx::query_scalar!(
            "UPDATE tenants SET event_seq = event_seq + 1 WHERE tenant_id = $1 RETURNING event_seq",
            self.tenant
        )
        .fetch_one(&mut *self.inner)
        .await?;
        sqlx::query!(
            "INSERT INTO events (tenant_id, seq, kind, pair_id, bundle_id, endpoint_id, detail)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            self.tenant,
            seq,
            event.kind,
            event.pair,
            event.bundle,
            event.endpoint,
            event.detail
        )
        .execute(&mut *self.inner)
        .await?;
        sqlx::query!(
            "SELECT pg_notify($1, $2)",
            EVENTS_CHANNEL,
            self.tenant.to_string()
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(seq)
    }

    /// Events after a number, in order, at most a page.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn events_after(&mut self, seq: i64) -> Result<Vec<Event>> {
        Ok(sqlx::query_as!(
            Event,
            "SELECT seq, kind, pair_id, bundle_id, endpoint_id, detail, created_at
             FROM events WHERE tenant_id = $1 AND seq > $2 ORDER BY seq LIMIT $3",
            self.tenant,
            seq,
            PAGE
        )
        .fetch_all(&mut *self.inner)
        .await?)
    }

    /// The number of the tenant's latest event.
    ///
    /// # Errors
    /// `NotFound` if the tenant does not exist.
    pub async fn latest_event(&mut self) -> Result<i64> {
        Ok(sqlx::query_scalar!(
            "SELECT event_seq FROM tenants WHERE tenant_id = $1",
            self.tenant
        )
        .fetch_one(&mut *self.inner)
        .await?)
    }

    /// Writes an audit entry in this transaction.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn audit(
        &mut self,
        actor: Actor,
        action: &str,
        target: impl ToString,
        detail: Value,
    ) -> Result<()> {
        let seq = sqlx::query_scalar!(
            "UPDATE tenants SET audit_seq = audit_seq + 1 WHERE tenant_id = $1 RETURNING audit_seq",
            self.tenant
        )
        .fetch_one(&mut *self.inner)
        .await?;
        sqlx::query!(
            "INSERT INTO audit (tenant_id, seq, actor, action, target, detail)
             VALUES ($1, $2, $3, $4, $5, $6)",
            self.tenant,
            seq,
            actor.to_string(),
            action,
            target.to_string(),
            detail
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Audit entries, latest first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn list_audit(&mut self, before: Option<i64>) -> Result<Page<AuditEntry>> {
        let rows = sqlx::query_as!(
            AuditEntry,
            "SELECT seq, actor, action, target, detail, created_at FROM audit
             WHERE tenant_id = $1 AND ($2::bigint IS NULL OR seq < $2) ORDER BY seq DESC LIMIT $3",
            self.tenant,
            before,
            PAGE + 1
        )
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(crate::page(rows, |entry| entry.seq.to_string()))
    }
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Platform => f.write_str("platform"),
            Self::Token(id) => write!(f, "token:{id}"),
            Self::Endpoint(id) => write!(f, "endpoint:{id}"),
            Self::Enrolment(id) => write!(f, "enrolment:{id}"),
        }
    }
}
