//! Answers kept for repeated creating calls.

use chrono::{DateTime, Utc};
use zeroize::Zeroizing;

use crate::{Result, Tx};

/// Name of the secret that holds the answer kept for a key.
pub(crate) fn answer(key: &str) -> String {
    format!("idempotency:{key}")
}

/// What a key is to a call.
#[derive(Debug)]
pub enum Replay {
    /// The first call with this key: go on, then store the answer.
    First,
    /// The first call is still under way.
    Pending,
    /// The key was used for another call.
    Other,
    /// The first call's answer.
    Answer {
        /// HTTP status.
        status: i32,
        /// Its body.
        response: Zeroizing<Vec<u8>>,
    },
}

impl Tx {
    /// Claims a key. A claim older than `stale` without an answer, or any key
    /// older than `expired`, may be claimed again.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn claim_idempotency_key(
        &mut self,
        key: &str,
        fingerprint: &[u8],
        stale: DateTime<Utc>,
        expired: DateTime<Utc>,
    ) -> Result<Replay> {
        let claimed = sqlx::query!(
            "INSERT INTO idempotency_keys AS k (tenant_id, key, fingerprint) VALUES ($1, $2, $3)
             ON CONFLICT (tenant_id, key) DO UPDATE
               SET fingerprint = $3, status = NULL, created_at = now()
               WHERE k.created_at < $5 OR (k.status IS NULL AND k.created_at < $4)",
            self.tenant,
            key,
            fingerprint,
            stale,
            expired
        )
        .execute(&mut *self.inner)
        .await?;
        if claimed.rows_affected() == 1 {
            return Ok(Replay::First);
        }
        let row = sqlx::query!(
            "SELECT fingerprint, status FROM idempotency_keys
             WHERE tenant_id = $1 AND key = $2",
            self.tenant,
            key
        )
        .fetch_one(&mut *self.inner)
        .await?;
        if row.fingerprint != fingerprint {
            return Ok(Replay::Other);
        }
        Ok(match (row.status, self.secret(&answer(key)).await?) {
            (Some(status), Some(response)) => Replay::Answer { status, response },
            _ => Replay::Pending,
        })
    }

    /// Stores the first call's answer, or with none gives the key free.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn settle_idempotency_key(
        &mut self,
        key: &str,
        first: Option<(i32, &[u8])>,
    ) -> Result<()> {
        match first {
            Some((status, response)) => {
                self.put_secret(&answer(key), response).await?;
                sqlx::query!(
                    "UPDATE idempotency_keys SET status = $3 WHERE tenant_id = $1 AND key = $2",
                    self.tenant,
                    key,
                    status
                )
                .execute(&mut *self.inner)
                .await?
            }
            None => {
                sqlx::query!(
                    "DELETE FROM idempotency_keys WHERE tenant_id = $1 AND key = $2",
                    self.tenant,
                    key
                )
                .execute(&mut *self.inner)
                .await?
            }
        };
        Ok(())
    }
}
