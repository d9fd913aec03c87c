//! Answers kept for repeated creating calls.

use chrono::{DateTime, Utc};
use zeroize::Zeroizing;

use crate::{error::Result, tx::Tx};

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
    /// The tenant's idempotency keys.
    pub fn idempotency_keys(&mut self) -> IdempotencyKeys<'_> {
        IdempotencyKeys(self)
    }
}

/// The tenant's idempotency keys.
pub struct IdempotencyKeys<'a>(&'a mut Tx);

impl IdempotencyKeys<'_> {
    /// Claims a key. A claim older than `stale` without an answer, or any key
    /// older than `expired`, may be claimed again.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn claim(
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
            self.0.tenant,
            key,
            fingerprint,
            stale,
            expired
        )
        .execute(&mut *self.0.inner)
        .await?;
        if claimed.rows_affected() == 1 {
            return Ok(Replay::First);
        }
        let row = sqlx::query!(
            "SELECT fingerprint, status FROM idempotency_keys
             WHERE tenant_id = $1 AND key = $2",
            self.0.tenant,
            key
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        if row.fingerprint != fingerprint {
            return Ok(Replay::Other);
        }
        Ok(
            match (row.status, self.0.secrets().get(&answer_secret(key)).await?) {
                (Some(status), Some(response)) => Replay::Answer { status, response },
                _ => Replay::Pending,
            },
        )
    }

    /// Stores the first call's answer, or with none gives the key free.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn settle(&mut self, key: &str, first: Option<(i32, &[u8])>) -> Result<()> {
        match first {
            Some((status, response)) => {
                self.0.secrets().put(&answer_secret(key), response).await?;
                sqlx::query!(
                    "UPDATE idempotency_keys SET status = $3 WHERE tenant_id = $1 AND key = $2",
                    self.0.tenant,
                    key,
                    status
                )
                .execute(&mut *self.0.inner)
                .await?
            }
            None => {
                sqlx::query!(
                    "DELETE FROM idempotency_keys WHERE tenant_id = $1 AND key = $2",
                    self.0.tenant,
                    key
                )
                .execute(&mut *self.0.inner)
                .await?
            }
        };
        Ok(())
    }

    /// Deletes keys that were claimed before a time, and erases their answers.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn delete_old(&mut self, before: DateTime<Utc>) -> Result<()> {
        let keys = sqlx::query_scalar!(
            "DELETE FROM idempotency_keys WHERE tenant_id = $1 AND created_at < $2 RETURNING key",
            self.0.tenant,
            before
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        let names: Vec<String> = keys.iter().map(|key| answer_secret(key)).collect();
        self.0.secrets().erase(&names).await
    }
}

/// Name of the secret that holds the answer kept for a key.
fn answer_secret(key: &str) -> String {
    format!("idempotency:{key}")
}
