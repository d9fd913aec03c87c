//! Receipts that tickets name and that are not the recorded ones, until their consumers have
//! shown them or cannot any more.

use chrono::Duration;

use crate::{
    decode::{corrupt, to_u64},
    error::Result,
    lane_ids::{LaneId, lane_id},
    lanes::Dispute,
    tx::Tx,
};

/// A dispute about a receipt that is to be decided.
#[derive(Debug, Clone)]
pub struct DueDispute {
    /// What is disputed.
    pub dispute: Dispute,
    /// Whether the consumer's start has ended: it can show nothing any more.
    pub has_ended: bool,
}

impl Tx {
    /// The tenant's disputes about receipts.
    pub fn receipt_disputes(&mut self) -> ReceiptDisputes<'_> {
        ReceiptDisputes(self)
    }
}

/// The tenant's disputes about receipts.
pub struct ReceiptDisputes<'a>(&'a mut Tx);

impl ReceiptDisputes<'_> {
    /// Disputes whose consumer was heard of so long after it was asked, or has ended, at most
    /// so many, the earliest first.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn due(&mut self, patience: Duration, limit: i64) -> Result<Vec<DueDispute>> {
        let seconds = patience.num_milliseconds() as f64 / 1000.0;
        let rows = sqlx::query!(
            r#"SELECT l.bundle_id, l.lane, l.disputed_n AS "n!", l.disputed_k AS "k", l.disputed_run AS "run!",
                      l.disputed_by AS "by!", s.hash IS NULL AS "has_ended!"
             FROM lanes l
             JOIN bundles b ON b.tenant_id = $1 AND b.bundle_id = l.bundle_id
             JOIN endpoints c ON c.tenant_id = $1 AND c.endpoint_id = b.consumer_endpoint_id
             LEFT JOIN endpoint_starts s ON s.tenant_id = $1 AND s.endpoint_id = c.endpoint_id
                   AND s.hash = b.consumer_start AND s.ended_at IS NULL AND c.state = 'active'
             WHERE l.tenant_id = $1 AND l.disputed_since IS NOT NULL
               AND b.state <> 'disconnected'
               AND (s.hash IS NULL
                    OR c.last_seen_at > l.disputed_since + make_interval(secs => $2))
             ORDER BY l.disputed_since LIMIT $3"#,
            self.0.tenant,
            seconds,
            limit
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(DueDispute {
                    dispute: Dispute {
                        lane: lane_id(row.bundle_id, row.lane)?,
                        n: to_u64(row.n)?,
                        k: u32::try_from(row.k).map_err(corrupt)?,
                        run: row.run,
                        by: row.by,
                    },
                    has_ended: row.has_ended,
                })
            })
            .collect()
    }

    /// Closes a lane's dispute, which was unfounded.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn close(&mut self, (bundle, lane): LaneId) -> Result<()> {
        sqlx::query!(
            "UPDATE lanes SET disputed_n = NULL, disputed_k = 0, disputed_run = NULL,
                              disputed_by = NULL, disputed_since = NULL
             WHERE tenant_id = $1 AND bundle_id = $2 AND lane = $3",
            self.0.tenant,
            bundle,
            i32::from(lane)
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    /// Closes disputes of disconnected bundles, at most so many: they were decided.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn close_ended(&mut self, limit: i64) -> Result<u64> {
        let done = sqlx::query!(
            "WITH ended AS (
                 SELECT l.bundle_id, l.lane FROM lanes l
                 JOIN bundles b ON b.tenant_id = $1 AND b.bundle_id = l.bundle_id
                 WHERE l.tenant_id = $1 AND l.disputed_since IS NOT NULL
                   AND b.state = 'disconnected'
                 LIMIT $2 FOR UPDATE OF l SKIP LOCKED)
             UPDATE lanes l SET disputed_since = NULL FROM ended
             WHERE l.tenant_id = $1 AND l.bundle_id = ended.bundle_id AND l.lane = ended.lane",
            self.0.tenant,
            limit
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(done.rows_affected())
    }
}
