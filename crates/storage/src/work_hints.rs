//! When each tenant that has deliveries to make has the next one due.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{error::Result, store::Store, tx::Tx};

impl Store {
    /// Tenants that have deliveries to make, besides these; who waits longest first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn tenants_with_work(
        &self,
        now: DateTime<Utc>,
        besides: &[Uuid],
        limit: i64,
    ) -> Result<Vec<Uuid>> {
        let mut tx = self.platform().await?;
        Ok(sqlx::query_scalar!(
            "SELECT tenant_id FROM work_hints WHERE due_at <= $1 AND tenant_id <> ALL($2)
             ORDER BY due_at LIMIT $3",
            now,
            besides,
            limit
        )
        .fetch_all(&mut *tx.inner)
        .await?)
    }
}

impl Tx {
    /// When the tenant's next delivery is due.
    pub fn work_hints(&mut self) -> WorkHints<'_> {
        WorkHints(self)
    }
}

/// When the tenant's next delivery is due.
pub struct WorkHints<'a>(&'a mut Tx);

impl WorkHints<'_> {
    /// Says when the tenant's next delivery is due, or that none is.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn refresh(&mut self) -> Result<()> {
        // Whoever adds a delivery meanwhile waits for this row, and says so after.
        sqlx::query!(
            "SELECT due_at FROM work_hints WHERE tenant_id = $1 FOR UPDATE",
            self.0.tenant
        )
        .fetch_optional(&mut *self.0.inner)
        .await?;
        let next = sqlx::query_scalar!(
            "SELECT min(next_attempt_at) FROM webhook_deliveries
             WHERE tenant_id = $1 AND state = 'pending'",
            self.0.tenant
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        let Some(due) = next else {
            return self.delete().await;
        };
        sqlx::query!(
            "UPDATE work_hints SET due_at = $2 WHERE tenant_id = $1",
            self.0.tenant,
            due
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    /// Says that none is due.
    pub(crate) async fn delete(&mut self) -> Result<()> {
        sqlx::query!("DELETE FROM work_hints WHERE tenant_id = $1", self.0.tenant)
            .execute(&mut *self.0.inner)
            .await?;
        Ok(())
    }

    /// Says that one is due now.
    pub(crate) async fn mark_due(&mut self) -> Result<()> {
        sqlx::query!(
            "INSERT INTO work_hints (tenant_id, due_at) VALUES ($1, now())
             ON CONFLICT (tenant_id) DO UPDATE SET due_at = least(work_hints.due_at, now())",
            self.0.tenant
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }
}
