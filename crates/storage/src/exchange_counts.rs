//! How many exchanges a tenant's lanes have recorded, kept as they are recorded: to add them up takes
//! as long as there are lanes.

use crate::{error::Result, tx::Tx};

impl Tx {
    /// Counts what was recorded before it was counted, and by control planes that do not count;
    /// once a day.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn count_exchanges(&mut self) -> Result<()> {
        let lately = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM exchange_counts WHERE tenant_id = $1 AND part = -1
                              AND counted_at > now() - interval '1 day') AS "lately!""#,
            self.tenant
        )
        .fetch_one(&mut *self.inner)
        .await?;
        if lately {
            return Ok(());
        }
        // Of one moment: whoever counts does it in the transaction that records. What is gone from
        // the lanes stays counted.
        sqlx::query!(
            "INSERT INTO exchange_counts AS c (tenant_id, part, exchanges)
             SELECT tenant_id, -1, greatest(0,
                 (SELECT coalesce(sum(head_n + 1), 0) FROM lanes WHERE tenant_id = $1)
                 - (SELECT coalesce(sum(exchanges), 0) FROM exchange_counts
                    WHERE tenant_id = $1 AND part >= 0))
             FROM tenants WHERE tenant_id = $1
             ON CONFLICT (tenant_id, part)
             DO UPDATE SET exchanges = greatest(c.exchanges, excluded.exchanges),
                           counted_at = now()",
            self.tenant
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }
}
