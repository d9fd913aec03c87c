//! Events for those who watch.

use std::{collections::BTreeMap, time::Duration};

use armour_api::{Event, EventKind};
use sqlx::postgres::PgPoolOptions;
use uuid::Uuid;

use crate::{
    decode::to_i64,
    error::Result,
    new_event::{EventRecord, NewEvent},
    page::PAGE,
    store::Store,
    tx::Tx,
};

/// The channel on which a tenant's id is announced when it has new events.
pub(crate) const EVENTS_CHANNEL: &str = "armour_events";

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
    pub async fn record(&mut self, event: NewEvent<'_>) -> Result<()> {
        self.record_all([event]).await
    }

    /// Records events in their order, as [`Events::record`] does, in as many statements as one
    /// takes for each kind of them.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn record_all<'e>(
        &mut self,
        events: impl IntoIterator<Item = NewEvent<'e>>,
    ) -> Result<()> {
        let events: Vec<EventRecord> = events.into_iter().map(NewEvent::record).collect();
        if events.is_empty() {
            return Ok(());
        }
        let last = sqlx::query_scalar!(
            "UPDATE journals SET event_seq = event_seq + $2 WHERE tenant_id = $1
             RETURNING event_seq",
            self.0.tenant,
            to_i64(events.len() as u64)?
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        let first = last + 1 - to_i64(events.len() as u64)?;
        let mut numbers: BTreeMap<EventKind, Vec<i64>> = BTreeMap::new();
        let (mut seqs, mut kinds, mut details) = (Vec::new(), Vec::new(), Vec::new());
        let (mut pairs, mut bundles, mut endpoints) = (Vec::new(), Vec::new(), Vec::new());
        for (seq, event) in (first..).zip(events) {
            numbers.entry(event.kind).or_default().push(seq);
            seqs.push(seq);
            kinds.push(event.kind.into_str().to_owned());
            pairs.push(event.pair);
            bundles.push(event.bundle);
            endpoints.push(event.endpoint);
            details.push(event.detail);
        }
        sqlx::query!(
            "INSERT INTO events (tenant_id, seq, kind, pair_id, bundle_id, endpoint_id, detail)
             SELECT $1, seq, kind, pair_id, bundle_id, endpoint_id, detail
             FROM unnest($2::bigint[], $3::text[], $4::uuid[], $5::uuid[], $6::uuid[],
                         $7::jsonb[])
                  AS e(seq, kind, pair_id, bundle_id, endpoint_id, detail)",
            self.0.tenant,
            &seqs,
            &kinds,
            &pairs as &[Option<Uuid>],
            &bundles as &[Option<Uuid>],
            &endpoints as &[Option<Uuid>],
            &details
        )
        .execute(&mut *self.0.inner)
        .await?;
        for (kind, seqs) in numbers {
            self.0.deliveries().enqueue(&seqs, kind).await?;
        }
        // They are announced once this is committed.
        let tenant = self.0.tenant;
        self.0.with_events.insert(tenant);
        Ok(())
    }

    /// Begins another epoch: the numbers of events from now on are above all that were ever told,
    /// also by a database that was there until this one took its place. So a reader whose last
    /// number is of an epoch before is told of all that is new since, the fence first. An epoch
    /// begins at the time of its fence, in units of 2^-21 s: fewer events than two million a second
    /// keep below the next one, and a number is exact in JavaScript (2^53) until the year 2106.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn begin_epoch(&mut self) -> Result<()> {
        sqlx::query!(
            "UPDATE journals SET event_seq =
               greatest(event_seq, floor(extract(epoch FROM clock_timestamp()) * 2097152)::bigint)
             WHERE tenant_id = $1",
            self.0.tenant
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
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
    /// Listens for tenants that have new events, on a connection of its own.
    ///
    /// # Errors
    /// If no connection is to be had.
    pub async fn listen(&self) -> Result<sqlx::postgres::PgListener> {
        let options = self.direct.named("armour events");
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(10))
            .max_lifetime(None)
            .idle_timeout(None)
            .connect_lazy_with(options);
        let mut listener = sqlx::postgres::PgListener::connect_with(&pool).await?;
        // Nobody else closes it.
        listener.ignore_pool_close_event(true);
        listener.listen(EVENTS_CHANNEL).await?;
        Ok(listener)
    }

    /// Notifies whoever listens for events of something that is no tenant, to see whether they
    /// are told.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn notify(&self, word: &str) -> Result<()> {
        let mut tx = self.platform().await?;
        sqlx::query!("SELECT pg_notify($1, $2)", EVENTS_CHANNEL, word)
            .execute(&mut *tx.inner)
            .await?;
        tx.commit().await
    }
}
