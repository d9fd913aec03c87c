//! Webhooks.

use armour_api::{Page, Webhook};
use uuid::Uuid;

use crate::{
    error::Result,
    page::{PAGE, page},
    tx::Tx,
};

impl Tx {
    /// The tenant's webhooks.
    pub fn webhooks(&mut self) -> Webhooks<'_> {
        Webhooks(self)
    }
}

/// The tenant's webhooks.
pub struct Webhooks<'a>(&'a mut Tx);

impl Webhooks<'_> {
    /// Adds a webhook; its secret is stored apart.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn create(&mut self, id: Uuid, url: &str, kinds: &[String]) -> Result<Webhook> {
        Ok(sqlx::query_as!(
            Webhook,
            "INSERT INTO webhooks (tenant_id, webhook_id, url, kinds) VALUES ($1, $2, $3, $4)
             RETURNING webhook_id AS id, url, kinds, created_at, disabled_at",
            self.0.tenant,
            id,
            url,
            kinds
        )
        .fetch_one(&mut *self.0.inner)
        .await?)
    }

    /// One webhook.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn find(&mut self, id: Uuid) -> Result<Webhook> {
        Ok(sqlx::query_as!(
            Webhook,
            "SELECT webhook_id AS id, url, kinds, created_at, disabled_at FROM webhooks
             WHERE tenant_id = $1 AND webhook_id = $2",
            self.0.tenant,
            id
        )
        .fetch_one(&mut *self.0.inner)
        .await?)
    }

    /// Webhooks in order of id.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn list(&mut self, after: Option<Uuid>) -> Result<Page<Webhook>> {
        let rows = sqlx::query_as!(
            Webhook,
            "SELECT webhook_id AS id, url, kinds, created_at, disabled_at FROM webhooks
             WHERE tenant_id = $1 AND ($2::uuid IS NULL OR webhook_id > $2)
             ORDER BY webhook_id LIMIT $3",
            self.0.tenant,
            after,
            PAGE + 1
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        Ok(page(rows, |webhook| webhook.id.to_string()))
    }

    /// Has a webhook told nothing any more, and what it was not told yet end. Whether it was
    /// told of before.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn disable(&mut self, id: Uuid, why: &str) -> Result<bool> {
        let disabled = sqlx::query!(
            "UPDATE webhooks SET disabled_at = now()
             WHERE tenant_id = $1 AND webhook_id = $2 AND disabled_at IS NULL",
            self.0.tenant,
            id
        )
        .execute(&mut *self.0.inner)
        .await?;
        sqlx::query!(
            "UPDATE webhook_deliveries SET state = 'failed', last_error = $3
             WHERE tenant_id = $1 AND webhook_id = $2 AND state = 'pending'",
            self.0.tenant,
            id,
            why
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(disabled.rows_affected() == 1)
    }

    /// Has a webhook that was disabled told again of what happens from now on.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn enable(&mut self, id: Uuid) -> Result<Webhook> {
        Ok(sqlx::query_as!(
            Webhook,
            "UPDATE webhooks SET disabled_at = NULL WHERE tenant_id = $1 AND webhook_id = $2
             RETURNING webhook_id AS id, url, kinds, created_at, disabled_at",
            self.0.tenant,
            id
        )
        .fetch_one(&mut *self.0.inner)
        .await?)
    }

    pub(crate) async fn count(&mut self) -> Result<i64> {
        Ok(sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM webhooks WHERE tenant_id = $1"#,
            self.0.tenant
        )
        .fetch_one(&mut *self.0.inner)
        .await?)
    }

    /// Deletes a webhook and its deliveries.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn delete(&mut self, id: Uuid) -> Result<()> {
        sqlx::query_scalar!(
            "DELETE FROM webhooks WHERE tenant_id = $1 AND webhook_id = $2 RETURNING webhook_id",
            self.0.tenant,
            id
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    /// Deletes every webhook, with the deliveries that are still to be made.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn delete_all(&mut self) -> Result<()> {
        sqlx::query!("DELETE FROM webhooks WHERE tenant_id = $1", self.0.tenant)
            .execute(&mut *self.0.inner)
            .await?;
        self.0.work_hints().delete().await
    }
}
