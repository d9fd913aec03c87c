//! Deletes what nobody needs any more.

use chrono::{DateTime, Duration, Utc};

use crate::{error::Result, tx::Tx};

impl Tx {
    /// Deletes what nobody needs any more: expired proofs, old sessions, answers
    /// kept for repeated calls.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn sweep(&mut self, now: DateTime<Utc>, idle_since: DateTime<Utc>) -> Result<()> {
        self.proofs().delete_expired(now).await?;
        self.sessions().end_expired(now, idle_since).await?;
        self.idempotency_keys()
            .delete_old(now - Duration::days(1))
            .await?;
        self.sessions().delete_ended(now - Duration::days(90)).await
    }
}
