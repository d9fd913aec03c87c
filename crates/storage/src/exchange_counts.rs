//! How many exchanges a tenant's lanes have recorded, kept as they are recorded: to add them up takes
//! as long as there are lanes.

use crate::{error::Result, tx::Tx};

impl Tx {
    /// Counts what was recorded before it was counted; and again a day later, when nothing is left of
    /// control planes that do not count.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn count_exchanges(&mut self) -> Result<()> {
        let is_done = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM exchange_counts WHERE tenant_id = $1 AND part = -1
                              AND (again_at IS NULL OR again_at > now())) AS "is_done!""#,
            self.tenant
        )
        .fetch_one(&mut *self.inner)
        .await?;
        if is_done {
            return Ok(());
        }
        // Of one moment: whoever counts does it in the transaction that records. What is gone from
        // the lanes stays counted.
        sqlx::query!(
            "INSERT INTO exchange_counts AS c (tenant_id, part, exchanges, again_at)
             SELECT tenant_id, -1, greatest(0,
                 (SELECT coalesce(sum(head_n + 1), 0) FROM lanes WHERE tenant_id = $1)
                 - (SELECT coalesce(sum(exchanges), 0) FROM exchange_counts
                    WHERE tenant_id = $1 AND part >= 0)), now() + interval '1 day'
             FROM tenants WHERE tenant_id = $1
             ON CONFLICT (tenant_id, part)
             DO UPDATE SET exchanges = greatest(c.exchanges, excluded.exchanges),
                           again_at = NULL",
            self.tenant
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }
}
