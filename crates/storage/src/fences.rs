//! Where a tenant's ledger went on after its database had been restored.

use chrono::{DateTime, Utc};

use crate::{Result, Tx};

impl Tx {
    /// Notes that the audit entry of this number fences what was before.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn create_fence(&mut self, seq: i64, at: DateTime<Utc>) -> Result<()> {
        sqlx::query!(
            "INSERT INTO fences (tenant_id, seq, fenced_at) VALUES ($1, $2, $3)",
            self.tenant,
            seq,
            at
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// The first fence that explains why a log of `size` entries, the last of them
    /// written at `at`, is no longer ours: it kept fewer, and came later.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn find_fence(&mut self, size: u64, at: DateTime<Utc>) -> Result<Option<i64>> {
        Ok(sqlx::query_scalar!(
            "SELECT seq FROM fences WHERE tenant_id = $1 AND seq - 1 < $2 AND fenced_at > $3
             ORDER BY seq LIMIT 1",
            self.tenant,
            i64::try_from(size).unwrap_or(i64::MAX),
            at
        )
        .fetch_optional(&mut *self.inner)
        .await?)
    }

    /// Ends enrolment tokens that nobody has used, as far as is known here.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn expire_enrolment_tokens(&mut self, at: DateTime<Utc>) -> Result<()> {
        sqlx::query!(
            "UPDATE enrolment_tokens SET expires_at = $2
             WHERE tenant_id = $1 AND used_at IS NULL AND expires_at > $2",
            self.tenant,
            at
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }
}
