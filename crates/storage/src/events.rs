//! Events for those who watch.

use armour_api::Event;

use crate::{error::Result, new_event::NewEvent, page::PAGE, store::Store, tx::Tx};

/// The channel on which a tenant's id is notified when it has new events.
pub const EVENTS_CHANNEL: &str = "armour_events";

impl Tx {
    /// The tenant's events.
    pub fn events(&mut self) -> Events<'_> {
        Events(self)
    }
}

/// The tenant's events.
pub struct Events<'a>(&'a mut Tx);

impl Events<'_> {
    /// Records an event, and for each webhook that wants it a delivery. Its
    /// number is the tenant's next: the journal's row is locked, so that the
    /// order of numbers is the order of commits and a reader that resumes after a
    /// number misses none.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn record(&mut self, event: NewEvent<'_>) -> Result<i64> {
        let event = event.record();
        let seq = sqlx::query_scalar!(
            "UPDATE journals SET event_seq = event_seq + 1 WHERE tenant_id = $1
             RETURNING event_seq",
            self.0.tenant
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        sqlx::query!(
            "INSERT INTO events (tenant_id, seq, kind, pair_id, bundle_id, endpoint_id, detail)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            self.0.tenant,
            seq,
            event.kind.into_str(),
            event.pair,
            event.bundle,
            event.endpoint,
            event.detail
        )
        .execute(&mut *self.0.inner)
        .await?;
        self.0.deliveries().enqueue(seq, event.kind).await?;
        sqlx::query!(
            "SELECT pg_notify($1, $2)",
            EVENTS_CHANNEL,
            self.0.tenant.to_string()
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(seq)
    }

    /// Events after a number, in order, at most a page.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn list_after(&mut self, seq: i64) -> Result<Vec<Event>> {
        Ok(sqlx::query_as!(
            Event,
            "SELECT seq, kind, pair_id, bundle_id, endpoint_id, detail, created_at
             FROM events WHERE tenant_id = $1 AND seq > $2 ORDER BY seq LIMIT $3",
            self.0.tenant,
            seq,
            PAGE
        )
        .fetch_all(&mut *self.0.inner)
        .await?)
    }

    /// The number of the tenant's latest event.
    ///
    /// # Errors
    /// `NotFound` if the tenant does not exist.
    pub async fn latest_seq(&mut self) -> Result<i64> {
        Ok(sqlx::query_scalar!(
            "SELECT event_seq FROM journals WHERE tenant_id = $1",
            self.0.tenant
        )
        .fetch_one(&mut *self.0.inner)
        .await?)
    }
}

impl Store {
    /// Listens for tenants that have new events.
    ///
    /// # Errors
    /// If no connection is to be had.
    pub async fn listen(&self) -> Result<sqlx::postgres::PgListener> {
        let mut listener = sqlx::postgres::PgListener::connect_with(&self.pool).await?;
        listener.listen(EVENTS_CHANNEL).await?;
        Ok(listener)
    }
}
