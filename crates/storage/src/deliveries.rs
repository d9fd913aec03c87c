//! Deliveries of events to webhooks, claimed by whichever replica is free.

use armour_api::{Delivery, DeliveryState, Event, EventKind, Page};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    decode::word,
    error::Result,
    page::{PAGE, page},
    tx::Tx,
};

/// A delivery that is to be tried now.
#[derive(Debug)]
pub struct DueDelivery {
    /// Its id.
    pub id: Uuid,
    /// The webhook.
    pub webhook: Uuid,
    /// Where to.
    pub url: String,
    /// How often it was tried before.
    pub attempts: i32,
    /// The event it delivers.
    pub event: Event,
}

/// What came of an attempt.
#[derive(Debug)]
pub struct Attempt<'a> {
    /// How the delivery stands now.
    pub state: DeliveryState,
    /// The receiver's status, if it answered.
    pub status: Option<i32>,
    /// What went wrong.
    pub error: Option<&'a str>,
    /// When to try again.
    pub next: DateTime<Utc>,
}

impl Tx {
    /// The deliveries of the tenant's webhooks.
    pub fn deliveries(&mut self) -> Deliveries<'_> {
        Deliveries(self)
    }
}

/// The deliveries of the tenant's webhooks.
pub struct Deliveries<'a>(&'a mut Tx);

impl Deliveries<'_> {
    /// Deliveries of a webhook, latest first.
    ///
    /// # Errors
    /// `NotFound` if there is no such webhook.
    pub async fn list(&mut self, webhook: Uuid, before: Option<Uuid>) -> Result<Page<Delivery>> {
        self.0.webhooks().find(webhook).await?;
        let rows = sqlx::query_as!(
            DeliveryRow,
            "SELECT delivery_id, webhook_id, event_seq, kind, state, attempts, next_attempt_at,
                    last_status, last_error, created_at, delivered_at
             FROM webhook_deliveries
             WHERE tenant_id = $1 AND webhook_id = $2 AND ($3::uuid IS NULL OR delivery_id < $3)
             ORDER BY delivery_id DESC LIMIT $4",
            self.0.tenant,
            webhook,
            before,
            PAGE + 1
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        let rows = rows
            .into_iter()
            .map(DeliveryRow::into_delivery)
            .collect::<Result<Vec<_>>>()?;
        Ok(page(rows, |delivery| delivery.id.to_string()))
    }

    /// Sets a delivery back to its first attempt.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn replay(&mut self, webhook: Uuid, id: Uuid) -> Result<Delivery> {
        let row = sqlx::query_as!(
            DeliveryRow,
            "UPDATE webhook_deliveries
             SET state = 'pending', attempts = 0, next_attempt_at = now(), delivered_at = NULL
             WHERE tenant_id = $1 AND webhook_id = $2 AND delivery_id = $3
             RETURNING delivery_id, webhook_id, event_seq, kind, state, attempts,
                       next_attempt_at, last_status, last_error, created_at, delivered_at",
            self.0.tenant,
            webhook,
            id
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        self.0.work_hints().mark_due().await?;
        row.into_delivery()
    }

    /// Takes deliveries that are due, of other webhooks than these; until `lease` nobody else
    /// takes them.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn claim(
        &mut self,
        now: DateTime<Utc>,
        lease: DateTime<Utc>,
        besides: &[Uuid],
        limit: i64,
    ) -> Result<Vec<DueDelivery>> {
        let rows = sqlx::query!(
            "WITH due AS (
                 SELECT delivery_id FROM webhook_deliveries
                 WHERE tenant_id = $1 AND state = 'pending' AND next_attempt_at <= $2
                   AND webhook_id <> ALL($5)
                 ORDER BY next_attempt_at LIMIT $4 FOR UPDATE SKIP LOCKED)
             UPDATE webhook_deliveries d SET next_attempt_at = $3
             FROM due, webhooks w, events e
             WHERE d.tenant_id = $1 AND d.delivery_id = due.delivery_id
               AND w.tenant_id = $1 AND w.webhook_id = d.webhook_id
               AND e.tenant_id = $1 AND e.seq = d.event_seq
             RETURNING d.delivery_id, d.webhook_id, w.url, d.attempts, e.seq, e.kind, e.pair_id,
                       e.bundle_id, e.endpoint_id, e.detail, e.created_at",
            self.0.tenant,
            now,
            lease,
            limit,
            besides
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| DueDelivery {
                id: row.delivery_id,
                webhook: row.webhook_id,
                url: row.url,
                attempts: row.attempts,
                event: Event {
                    seq: row.seq,
                    kind: row.kind,
                    pair_id: row.pair_id,
                    bundle_id: row.bundle_id,
                    endpoint_id: row.endpoint_id,
                    detail: row.detail,
                    created_at: row.created_at,
                },
            })
            .collect())
    }

    /// Records what came of an attempt.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn record_attempt(&mut self, id: Uuid, attempt: &Attempt<'_>) -> Result<()> {
        sqlx::query!(
            "UPDATE webhook_deliveries
             SET state = $3, attempts = attempts + 1, next_attempt_at = $4, last_status = $5,
                 last_error = $6, delivered_at = CASE WHEN $3 = 'delivered' THEN now() END
             WHERE tenant_id = $1 AND delivery_id = $2",
            self.0.tenant,
            id,
            attempt.state.into_str(),
            attempt.next,
            attempt.status,
            attempt.error
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    /// A delivery of each of these events for each webhook that wants events of their kind.
    pub(crate) async fn enqueue(&mut self, seqs: &[i64], kind: EventKind) -> Result<()> {
        let kind = kind.into_str();
        let wanted = sqlx::query_scalar!(
            "SELECT webhook_id FROM webhooks
             WHERE tenant_id = $1 AND kinds && ARRAY[$2, '*'] AND disabled_at IS NULL",
            self.0.tenant,
            kind
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        if wanted.is_empty() {
            return Ok(());
        }
        let (mut ids, mut webhooks, mut events) = (Vec::new(), Vec::new(), Vec::new());
        for seq in seqs {
            for webhook in &wanted {
                ids.push(self.0.new_id());
                webhooks.push(*webhook);
                events.push(*seq);
            }
        }
        sqlx::query!(
            "INSERT INTO webhook_deliveries (tenant_id, delivery_id, webhook_id, event_seq, kind)
             SELECT $1, delivery_id, webhook_id, event_seq, $5
             FROM UNNEST($2::uuid[], $3::uuid[], $4::bigint[])
                  AS d (delivery_id, webhook_id, event_seq)",
            self.0.tenant,
            &ids,
            &webhooks,
            &events,
            kind
        )
        .execute(&mut *self.0.inner)
        .await?;
        self.0.work_hints().mark_due().await
    }
}

struct DeliveryRow {
    delivery_id: Uuid,
    webhook_id: Uuid,
    event_seq: i64,
    kind: String,
    state: String,
    attempts: i32,
    next_attempt_at: DateTime<Utc>,
    last_status: Option<i32>,
    last_error: Option<String>,
    created_at: DateTime<Utc>,
    delivered_at: Option<DateTime<Utc>>,
}

impl DeliveryRow {
    fn into_delivery(self) -> Result<Delivery> {
        Ok(Delivery {
            id: self.delivery_id,
            webhook_id: self.webhook_id,
            event_seq: self.event_seq,
            kind: self.kind,
            state: word(&self.state)?,
            attempts: self.attempts,
            next_attempt_at: self.next_attempt_at,
            last_status: self.last_status,
            last_error: self.last_error,
            created_at: self.created_at,
            delivered_at: self.delivered_at,
        })
    }
}
