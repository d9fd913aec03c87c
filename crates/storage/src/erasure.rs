//! What is forgotten of a deleted tenant: whatever names people, programs and machines. What is
//! proven of it, its bundles and its log, goes with the audit log's retention.

use chrono::Duration;

use crate::{error::Result, store::Store, tx::Tx};

/// Most rows of a table that one transaction forgets.
const BATCH: i64 = 1000;

impl Store {
    /// Forgets what names people, programs and machines of one deleted tenant, its own name last;
    /// in bounded transactions, and in the next call where this one ended. False if there is no
    /// deleted tenant whose name is still known.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn forget_deleted(&self) -> Result<bool> {
        let mut tx = self.platform().await?;
        let Some(tenant) = tx.tenants().next_deleted().await? else {
            return Ok(false);
        };
        drop(tx);
        loop {
            let mut tx = self.tenant(tenant).await?;
            let rows = tx.forget_names(BATCH).await?;
            tx.commit().await?;
            if rows == 0 {
                break;
            }
        }
        let mut tx = self.platform().await?;
        tx.tenants().forget_name(tenant).await?;
        tx.commit().await?;
        Ok(true)
    }
}

impl Tx {
    /// Forgets so many rows of each table; how many there were.
    async fn forget_names(&mut self, most: i64) -> Result<u64> {
        let now = self.now();
        self.idempotency_keys().delete_old(now).await?;
        self.proofs()
            .delete_expired(now + Duration::days(1))
            .await?;
        // A statement of the tenant and of how many rows.
        macro_rules! rows {
            ($statement:tt) => {
                sqlx::query!($statement, self.tenant, most)
                    .execute(&mut *self.inner)
                    .await?
                    .rows_affected()
            };
        }
        // Sessions: subjects, names, browsers.
        let mut rows = rows!(
            "DELETE FROM sessions WHERE tenant_id = $1 AND session_id IN
               (SELECT session_id FROM sessions WHERE tenant_id = $1 LIMIT $2)"
        );
        // Events name what they are about.
        rows += rows!(
            "DELETE FROM events WHERE tenant_id = $1 AND seq IN
               (SELECT seq FROM events WHERE tenant_id = $1 LIMIT $2)"
        );
        rows += rows!(
            "DELETE FROM api_tokens WHERE tenant_id = $1 AND token_id IN
               (SELECT token_id FROM api_tokens WHERE tenant_id = $1 LIMIT $2)"
        );
        // With their rules, which name subjects.
        rows += rows!(
            "DELETE FROM issuers WHERE tenant_id = $1 AND issuer_id IN
               (SELECT issuer_id FROM issuers WHERE tenant_id = $1 LIMIT $2)"
        );
        // What bundles and collisions refer to stays, without a name.
        rows += rows!(
            "UPDATE parties SET name = party_id::text WHERE tenant_id = $1 AND party_id IN
               (SELECT party_id FROM parties
                WHERE tenant_id = $1 AND name <> party_id::text LIMIT $2)"
        );
        rows += rows!(
            "UPDATE endpoints SET name = endpoint_id::text, address = NULL, last_error = NULL,
                                  zone = NULL, enrol_entry = '{}'
             WHERE tenant_id = $1 AND endpoint_id IN
               (SELECT endpoint_id FROM endpoints
                WHERE tenant_id = $1 AND name <> endpoint_id::text LIMIT $2)"
        );
        rows += rows!(
            "UPDATE endpoint_starts SET host = NULL WHERE tenant_id = $1 AND (endpoint_id, hash) IN
               (SELECT endpoint_id, hash FROM endpoint_starts
                WHERE tenant_id = $1 AND host IS NOT NULL LIMIT $2)"
        );
        rows += rows!(
            "DELETE FROM start_disputes WHERE tenant_id = $1 AND endpoint_id IN
               (SELECT endpoint_id FROM start_disputes WHERE tenant_id = $1 LIMIT $2)"
        );
        Ok(rows)
    }
}
