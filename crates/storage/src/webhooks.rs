//! Webhooks and their deliveries, claimed by whichever replica is free.

use armour_api::{Delivery, DeliveryState, Event, Page, Webhook};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{PAGE, Result, Store, Tx, error::word, page};

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
    /// What to tell.
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

impl Tx {
    /// Adds a webhook; its secret is stored apart.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn create_webhook(
        &mut self,
        id: Uuid,
        url: &str,
        kinds: &[String],
    ) -> Result<Webhook> {
        Ok(sqlx::query_as!(
            Webhook,
            "INSERT INTO webhooks (tenant_id, webhook_id, url, kinds) VALUES ($1, $2, $3, $4)
             RETURNING webhook_id AS id, url, kinds, created_at",
            self.tenant,
            id,
            url,
            kinds
        )
        .fetch_one(&mut *self.inner)
        .await?)
    }

    /// One webhook.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn find_webhook(&mut self, id: Uuid) -> Result<Webhook> {
        Ok(sqlx::query_as!(
            Webhook,
            "SELECT webhook_id AS id, url, kinds, created_at FROM webhooks
             WHERE tenant_id = $1 AND webhook_id = $2",
            self.tenant,
            id
        )
        .fetch_one(&mut *self.inner)
        .await?)
    }

    /// Webhooks in order of id.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn list_webhooks(&mut self, after: Option<Uuid>) -> Result<Page<Webhook>> {
        let rows = sqlx::query_as!(
            Webhook,
            "SELECT webhook_id AS id, url, kinds, created_at FROM webhooks
             WHERE tenant_id = $1 AND ($2::uuid IS NULL OR webhook_id > $2)
             ORDER BY webhook_id LIMIT $3",
            self.tenant,
            after,
            PAGE + 1
        )
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(page(rows, |webhook| webhook.id.to_string()))
    }

    /// Deletes a webhook and its deliveries.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn delete_webhook(&mut self, id: Uuid) -> Result<()> {
        sqlx::query_scalar!(
            "DELETE FROM webhooks WHERE tenant_id = $1 AND webhook_id = $2 RETURNING webhook_id",
            self.tenant,
            id
        )
        .fetch_one(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Deletes every webhook, what it has not been told yet included.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn delete_all_webhooks(&mut self) -> Result<()> {
        sqlx::query!("DELETE FROM webhooks WHERE tenant_id = $1", self.tenant)
            .execute(&mut *self.inner)
            .await?;
        sqlx::query!("DELETE FROM work_hints WHERE tenant_id = $1", self.tenant)
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// A delivery for each webhook that wants events of the kind.
    pub(crate) async fn enqueue_deliveries(&mut self, seq: i64, kind: &str) -> Result<()> {
        let webhooks = sqlx::query_scalar!(
            "SELECT webhook_id FROM webhooks WHERE tenant_id = $1 AND kinds && ARRAY[$2, '*']",
            self.tenant,
            kind
        )
        .fetch_all(&mut *self.inner)
        .await?;
        if webhooks.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = webhooks.iter().map(|_| Uuid::now_v7()).collect();
        sqlx::query!(
            "INSERT INTO webhook_deliveries (tenant_id, delivery_id, webhook_id, event_seq, kind)
             SELECT $1, delivery_id, webhook_id, $4, $5
             FROM UNNEST($2::uuid[], $3::uuid[]) AS d (delivery_id, webhook_id)",
            self.tenant,
            &ids,
            &webhooks,
            seq,
            kind
        )
        .execute(&mut *self.inner)
        .await?;
        self.hint_work().await
    }

    /// Deliveries of a webhook, latest first.
    ///
    /// # Errors
    /// `NotFound` if there is no such webhook.
    pub async fn list_deliveries(
        &mut self,
        webhook: Uuid,
        before: Option<Uuid>,
    ) -> Result<Page<Delivery>> {
        self.find_webhook(webhook).await?;
        let rows = sqlx::query_as!(
            DeliveryRow,
            "SELECT delivery_id, webhook_id, event_seq, kind, state, attempts, next_attempt_at,
                    last_status, last_error, created_at, delivered_at
             FROM webhook_deliveries
             WHERE tenant_id = $1 AND webhook_id = $2 AND ($3::uuid IS NULL OR delivery_id < $3)
             ORDER BY delivery_id DESC LIMIT $4",
            self.tenant,
            webhook,
            before,
            PAGE + 1
        )
        .fetch_all(&mut *self.inner)
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
    pub async fn replay_delivery(&mut self, webhook: Uuid, id: Uuid) -> Result<Delivery> {
        let row = sqlx::query_as!(
            DeliveryRow,
            "UPDATE webhook_deliveries
             SET state = 'pending', attempts = 0, next_attempt_at = now(), delivered_at = NULL
             WHERE tenant_id = $1 AND webhook_id = $2 AND delivery_id = $3
             RETURNING delivery_id, webhook_id, event_seq, kind, state, attempts,
                       next_attempt_at, last_status, last_error, created_at, delivered_at",
            self.tenant,
            webhook,
            id
        )
        .fetch_one(&mut *self.inner)
        .await?;
        self.hint_work().await?;
        row.into_delivery()
    }

    /// Takes deliveries that are due; until `lease` nobody else takes them.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn claim_deliveries(
        &mut self,
        now: DateTime<Utc>,
        lease: DateTime<Utc>,
        most: i64,
    ) -> Result<Vec<DueDelivery>> {
        let rows = sqlx::query!(
            "WITH due AS (
                 SELECT delivery_id FROM webhook_deliveries
                 WHERE tenant_id = $1 AND state = 'pending' AND next_attempt_at <= $2
                 ORDER BY next_attempt_at LIMIT $4 FOR UPDATE SKIP LOCKED)
             UPDATE webhook_deliveries d SET next_attempt_at = $3
             FROM due, webhooks w, events e
             WHERE d.tenant_id = $1 AND d.delivery_id = due.delivery_id
               AND w.tenant_id = $1 AND w.webhook_id = d.webhook_id
               AND e.tenant_id = $1 AND e.seq = d.event_seq
             RETURNING d.delivery_id, d.webhook_id, w.url, d.attempts, e.seq, e.kind, e.pair_id,
                       e.bundle_id, e.endpoint_id, e.detail, e.created_at",
            self.tenant,
            now,
            lease,
            most
        )
        .fetch_all(&mut *self.inner)
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

    /// Notes what came of an attempt.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn settle_delivery(&mut self, id: Uuid, attempt: &Attempt<'_>) -> Result<()> {
        sqlx::query!(
            "UPDATE webhook_deliveries
             SET state = $3, attempts = attempts + 1, next_attempt_at = $4, last_status = $5,
                 last_error = $6, delivered_at = CASE WHEN $3 = 'delivered' THEN now() END
             WHERE tenant_id = $1 AND delivery_id = $2",
            self.tenant,
            id,
            attempt.state.as_str(),
            attempt.next,
            attempt.status,
            attempt.error
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Says when the tenant's next delivery is due, or that none is.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn settle_hint(&mut self) -> Result<()> {
        // Whoever adds a delivery meanwhile waits for this row, and says so after.
        sqlx::query!(
            "SELECT due_at FROM work_hints WHERE tenant_id = $1 FOR UPDATE",
            self.tenant
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        let next = sqlx::query_scalar!(
            "SELECT min(next_attempt_at) FROM webhook_deliveries
             WHERE tenant_id = $1 AND state = 'pending'",
            self.tenant
        )
        .fetch_one(&mut *self.inner)
        .await?;
        match next {
            Some(due) => {
                sqlx::query!(
                    "UPDATE work_hints SET due_at = $2 WHERE tenant_id = $1",
                    self.tenant,
                    due
                )
                .execute(&mut *self.inner)
                .await?
            }
            None => {
                sqlx::query!("DELETE FROM work_hints WHERE tenant_id = $1", self.tenant)
                    .execute(&mut *self.inner)
                    .await?
            }
        };
        Ok(())
    }

    async fn hint_work(&mut self) -> Result<()> {
        sqlx::query!(
            "INSERT INTO work_hints (tenant_id, due_at) VALUES ($1, now())
             ON CONFLICT (tenant_id) DO UPDATE SET due_at = least(work_hints.due_at, now())",
            self.tenant
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }
}

impl Store {
    /// Tenants that have deliveries to make.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn tenants_with_work(&self, now: DateTime<Utc>) -> Result<Vec<Uuid>> {
        let mut tx = self.platform().await?;
        Ok(sqlx::query_scalar!(
            "SELECT tenant_id FROM work_hints WHERE due_at <= $1 ORDER BY due_at LIMIT 100",
            now
        )
        .fetch_all(&mut *tx.inner)
        .await?)
    }
}

impl DeliveryRow {
    fn into_delivery(self) -> Result<Delivery> {
        Ok(Delivery {
            id: self.delivery_id,
            webhook_id: self.webhook_id,
            event_seq: self.event_seq,
            kind: self.kind,
            state: word(DeliveryState::parse, &self.state)?,
            attempts: self.attempts,
            next_attempt_at: self.next_attempt_at,
            last_status: self.last_status,
            last_error: self.last_error,
            created_at: self.created_at,
            delivered_at: self.delivered_at,
        })
    }
}
