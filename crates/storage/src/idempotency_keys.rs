//! Answers kept for repeated creating calls.

use chrono::{DateTime, Utc};
use zeroize::Zeroizing;

use crate::{
    error::{Result, StorageError},
    idempotency_claim::IdempotencyClaim,
    tx::Tx,
};

/// What a key is to a call.
#[derive(Debug)]
pub enum Replay {
    /// The first call with this key: go on, then store the answer.
    First(IdempotencyClaim),
    /// The first call is still under way.
    Pending,
    /// The first call has changed what it was to change a while ago, but its answer was lost.
    AnswerLost,
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

    /// Makes the transaction that of the call which has claimed a key: its commit says that
    /// the call's change was made.
    pub fn commit_for(&mut self, claim: IdempotencyClaim) {
        self.claim = Some(claim);
    }
}

/// The tenant's idempotency keys.
pub struct IdempotencyKeys<'a>(&'a mut Tx);

impl IdempotencyKeys<'_> {
    /// Claims a key. A claim older than `stale` of which nothing was committed, or any key
    /// older than `expired`, may be claimed again. A call that committed its change after
    /// `stale` may still be about to keep its answer.
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
        let id = self.0.new_id();
        let claimed = sqlx::query!(
            "INSERT INTO idempotency_keys AS k (tenant_id, key, fingerprint, claim_id)
             VALUES ($1, $2, $3, $6)
             ON CONFLICT (tenant_id, key) DO UPDATE
               SET fingerprint = $3, status = NULL, created_at = now(), claim_id = $6,
                   committed_at = NULL
               WHERE k.created_at < $5
                  OR (k.status IS NULL AND k.committed_at IS NULL AND k.created_at < $4)",
            self.0.tenant,
            key,
            fingerprint,
            stale,
            expired,
            id
        )
        .execute(&mut *self.0.inner)
        .await?;
        if claimed.rows_affected() == 1 {
            return Ok(Replay::First(IdempotencyClaim {
                tenant: self.0.tenant,
                key: key.to_owned(),
                id,
            }));
        }
        let row = sqlx::query!(
            "SELECT fingerprint, status, committed_at FROM idempotency_keys
             WHERE tenant_id = $1 AND key = $2",
            self.0.tenant,
            key
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        if row.fingerprint != fingerprint {
            return Ok(Replay::Other);
        }
        let kept = self.0.secrets().get(&answer_secret(key)).await?;
        Ok(match (row.status, kept) {
            (Some(status), Some(response)) => Replay::Answer { status, response },
            _ if row.committed_at.is_some_and(|at| at < stale) => Replay::AnswerLost,
            _ => Replay::Pending,
        })
    }

    /// Says, in the transaction of the call's change, that the change was made.
    pub(crate) async fn commit(&mut self, claim: &IdempotencyClaim) -> Result<()> {
        if self.0.tenant != claim.tenant {
            // The platform's calls change what is a tenant's.
            self.0.bind(claim.tenant).await?;
        }
        let done = sqlx::query!(
            "UPDATE idempotency_keys SET committed_at = now()
             WHERE tenant_id = $1 AND key = $2 AND claim_id = $3",
            claim.tenant,
            claim.key,
            claim.id
        )
        .execute(&mut *self.0.inner)
        .await?;
        match done.rows_affected() {
            1 => Ok(()),
            _ => Err(StorageError::Overtaken),
        }
    }

    /// Gives the key free if the call has changed nothing.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn release(&mut self, claim: &IdempotencyClaim) -> Result<bool> {
        let released = sqlx::query!(
            "DELETE FROM idempotency_keys
             WHERE tenant_id = $1 AND key = $2 AND claim_id = $3 AND committed_at IS NULL",
            claim.tenant,
            claim.key,
            claim.id
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(released.rows_affected() == 1)
    }

    /// Stores the first call's answer.
    ///
    /// # Errors
    /// If the database refuses; `Overtaken` if the key is another call's now.
    pub async fn settle(
        &mut self,
        claim: &IdempotencyClaim,
        status: i32,
        response: &[u8],
    ) -> Result<()> {
        let done = sqlx::query!(
            "UPDATE idempotency_keys SET status = $3
             WHERE tenant_id = $1 AND key = $2 AND claim_id = $4",
            claim.tenant,
            claim.key,
            status,
            claim.id
        )
        .execute(&mut *self.0.inner)
        .await?;
        match done.rows_affected() {
            1 => {
                let name = answer_secret(&claim.key);
                self.0.secrets().put(&name, response).await
            }
            _ => Err(StorageError::Overtaken),
        }
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
