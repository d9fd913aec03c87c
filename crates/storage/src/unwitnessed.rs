//! Bundles whose producers do not report what their consumers do. What is looked at is what
//! is behind now: lanes that are not, and those of ended bundles, are in no index.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{error::Result, tx::Tx};

/// A bundle of which people are to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnwitnessedRow {
    /// The bundle.
    pub bundle: Uuid,
    /// Its pair.
    pub pair: Uuid,
    /// The endpoint that does not report.
    pub producer: Uuid,
    /// Since when it is behind.
    pub since: DateTime<Utc>,
}

impl Tx {
    /// The tenant's bundles whose producers are behind with their reports.
    pub fn unwitnessed(&mut self) -> Unwitnessed<'_> {
        Unwitnessed(self)
    }
}

/// The tenant's bundles whose producers are behind with their reports.
pub struct Unwitnessed<'a>(&'a mut Tx);

impl Unwitnessed<'_> {
    /// Marks active bundles of which a lane is behind for longer than their policy's
    /// `witness_within_ms`, at most so many; returns those that were not marked before. What
    /// others have locked comes the next time.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn mark(&mut self, now: DateTime<Utc>, limit: i64) -> Result<Vec<UnwitnessedRow>> {
        let rows = sqlx::query!(
            r#"WITH behind AS (
                 SELECT bundle_id, min(since) AS since FROM (
                     SELECT bundle_id, unseen_since AS since FROM lanes
                     WHERE tenant_id = $1 AND unseen_since < $2
                     UNION ALL
                     SELECT bundle_id, sub_unseen_since FROM lanes
                     WHERE tenant_id = $1 AND sub_unseen_since < $2) AS unseen
                 GROUP BY bundle_id),
             due AS (
                 SELECT b.bundle_id, behind.since FROM bundles b JOIN behind USING (bundle_id)
                 WHERE b.tenant_id = $1 AND b.state = 'active' AND b.unwitnessed_at IS NULL
                   AND behind.since < $2 - make_interval(
                       secs => (b.policy->>'witness_within_ms')::double precision / 1000)
                 ORDER BY behind.since LIMIT $3 FOR UPDATE OF b SKIP LOCKED)
             UPDATE bundles b SET unwitnessed_at = $2 FROM due
             WHERE b.tenant_id = $1 AND b.bundle_id = due.bundle_id
             RETURNING b.bundle_id, b.pair_id, b.producer_endpoint_id, due.since AS "since!""#,
            self.0.tenant,
            now,
            limit
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| UnwitnessedRow {
                bundle: row.bundle_id,
                pair: row.pair_id,
                producer: row.producer_endpoint_id,
                since: row.since,
            })
            .collect())
    }

    /// Forgets marks of bundles that have ended, or of which no lane is behind any more since
    /// before the mark: their producers report again.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn unmark(&mut self) -> Result<u64> {
        let done = sqlx::query!(
            "WITH over AS (
                 SELECT b.bundle_id FROM bundles b
                 WHERE b.tenant_id = $1 AND b.unwitnessed_at IS NOT NULL
                   AND (b.state <> 'active' OR NOT EXISTS (
                       SELECT FROM lanes l WHERE l.tenant_id = $1 AND l.bundle_id = b.bundle_id
                         AND (l.unseen_since < b.unwitnessed_at
                              OR l.sub_unseen_since < b.unwitnessed_at)))
                 FOR UPDATE OF b SKIP LOCKED)
             UPDATE bundles b SET unwitnessed_at = NULL FROM over
             WHERE b.tenant_id = $1 AND b.bundle_id = over.bundle_id",
            self.0.tenant
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(done.rows_affected())
    }

    /// Takes lanes of bundles that are not active out of the index, at most so many: nobody
    /// waits for their producers' reports.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn forget_ended(&mut self, limit: i64) -> Result<u64> {
        let done = sqlx::query!(
            "WITH ended AS (
                 SELECT l.bundle_id, l.lane FROM lanes l
                 JOIN bundles b ON b.tenant_id = $1 AND b.bundle_id = l.bundle_id
                 WHERE l.tenant_id = $1 AND b.state <> 'active'
                   AND (l.unseen_since IS NOT NULL OR l.sub_unseen_since IS NOT NULL)
                 LIMIT $2 FOR UPDATE OF l SKIP LOCKED)
             UPDATE lanes l SET unseen_since = NULL, sub_unseen_since = NULL FROM ended
             WHERE l.tenant_id = $1 AND l.bundle_id = ended.bundle_id AND l.lane = ended.lane",
            self.0.tenant,
            limit
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(done.rows_affected())
    }
}
