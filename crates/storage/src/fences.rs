//! Where a tenant's ledger went on after its database had been restored.

use chrono::{DateTime, Utc};

use crate::{error::Result, tx::Tx};

impl Tx {
    /// The fences of the tenant's ledger.
    pub fn fences(&mut self) -> Fences<'_> {
        Fences(self)
    }
}

/// The fences of the tenant's ledger.
pub struct Fences<'a>(&'a mut Tx);

impl Fences<'_> {
    /// Records that the audit entry of this number fences what was before.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn create(&mut self, seq: i64, at: DateTime<Utc>) -> Result<()> {
        sqlx::query!(
            "INSERT INTO fences (tenant_id, seq, fenced_at) VALUES ($1, $2, $3)",
            self.0.tenant,
            seq,
            at
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    /// When the tenant was fenced last, if it was.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn latest(&mut self) -> Result<Option<DateTime<Utc>>> {
        Ok(sqlx::query_scalar!(
            "SELECT max(fenced_at) FROM fences WHERE tenant_id = $1",
            self.0.tenant
        )
        .fetch_one(&mut *self.0.inner)
        .await?)
    }

    /// The first fence that explains why a log of `size` entries, the last of them
    /// written at `at`, is no longer ours: it kept fewer, and came later.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn find(&mut self, size: u64, at: DateTime<Utc>) -> Result<Option<i64>> {
        Ok(sqlx::query_scalar!(
            "SELECT seq FROM fences WHERE tenant_id = $1 AND seq - 1 < $2 AND fenced_at > $3
             ORDER BY seq LIMIT 1",
            self.0.tenant,
            i64::try_from(size).unwrap_or(i64::MAX),
            at
        )
        .fetch_optional(&mut *self.0.inner)
        .await?)
    }
}
