//! Proofs, each of which may be used once.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use crate::{error::Result, tx::Tx};

impl Tx {
    /// Proofs that the tenant's clients have used.
    pub fn proofs(&mut self) -> Proofs<'_> {
        Proofs(self)
    }
}

/// Proofs that the tenant's clients have used.
pub struct Proofs<'a>(&'a mut Tx);

impl Proofs<'_> {
    /// Uses a proof. Returns false if it was used before.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn consume(&mut self, hash: &[u8], expires_at: DateTime<Utc>) -> Result<bool> {
        let fresh = self.consume_many(&[(hash.to_vec(), expires_at)]).await?;
        Ok(fresh == [true])
    }

    /// Uses many at once; which of them were not used before. Of the same one
    /// twice the first is.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn consume_many(&mut self, proofs: &[(Vec<u8>, DateTime<Utc>)]) -> Result<Vec<bool>> {
        let (hashes, until): (Vec<Vec<u8>>, Vec<DateTime<Utc>>) = proofs.iter().cloned().unzip();
        let fresh = sqlx::query_scalar!(
            "INSERT INTO spent_proofs (tenant_id, hash, expires_at)
             SELECT $1, hash, expires_at
             FROM unnest($2::bytea[], $3::timestamptz[]) AS i(hash, expires_at)
             ORDER BY hash ON CONFLICT DO NOTHING RETURNING hash",
            self.0.tenant,
            &hashes,
            &until
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        let mut fresh: HashSet<Vec<u8>> = fresh.into_iter().collect();
        Ok(hashes.iter().map(|hash| fresh.remove(hash)).collect())
    }

    /// Deletes proofs that have expired.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn delete_expired(&mut self, now: DateTime<Utc>) -> Result<()> {
        sqlx::query!(
            "DELETE FROM spent_proofs WHERE tenant_id = $1 AND expires_at < $2",
            self.0.tenant,
            now
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }
}
