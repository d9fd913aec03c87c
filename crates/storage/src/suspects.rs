//! Bundles of a database that took the place of another one, which was seconds ahead of it: they go
//! on if both their ends say that they do.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{bundles::MAX_GRACE_S, decode::to_u64, error::Result, tx::Tx};

impl Tx {
    /// The tenant's bundles whose ends have yet to say that they go on.
    pub fn suspects(&mut self) -> SuspectBundles<'_> {
        SuspectBundles(self)
    }
}

/// The tenant's bundles whose ends have yet to say that they go on.
pub struct SuspectBundles<'a>(&'a mut Tx);

impl SuspectBundles<'_> {
    /// Suspects all bundles that are of use, since this fence. Returns how many.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn mark_all(&mut self, fenced_at: DateTime<Utc>) -> Result<u64> {
        let ends = sqlx::query!(
            "INSERT INTO suspect_bundles (tenant_id, bundle_id, endpoint_id, fenced_at)
             SELECT $1, bundle_id, unnest(ARRAY[consumer_endpoint_id, producer_endpoint_id]), $2
             FROM bundles
             WHERE tenant_id = $1 AND (state = 'active'
               OR (state = 'superseded' AND superseded_at > now() - make_interval(secs => $3)))
             ON CONFLICT (tenant_id, bundle_id, endpoint_id)
             DO UPDATE SET fenced_at = excluded.fenced_at",
            self.0.tenant,
            fenced_at,
            MAX_GRACE_S
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(ends.rows_affected() / 2)
    }

    /// An end says that these go on.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn confirm(&mut self, endpoint: Uuid, bundles: &[Uuid]) -> Result<()> {
        sqlx::query!(
            "DELETE FROM suspect_bundles
             WHERE tenant_id = $1 AND endpoint_id = $2 AND bundle_id = ANY($3)",
            self.0.tenant,
            endpoint,
            bundles
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    /// Bundles that are suspected since before this, at most so many.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn due(&mut self, before: DateTime<Utc>, limit: i64) -> Result<Vec<Uuid>> {
        Ok(sqlx::query_scalar!(
            "SELECT DISTINCT bundle_id FROM suspect_bundles
             WHERE tenant_id = $1 AND fenced_at < $2 ORDER BY bundle_id LIMIT $3",
            self.0.tenant,
            before,
            limit
        )
        .fetch_all(&mut *self.0.inner)
        .await?)
    }

    /// Suspects these no more.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn forget(&mut self, bundles: &[Uuid]) -> Result<u64> {
        let ends = sqlx::query!(
            "DELETE FROM suspect_bundles WHERE tenant_id = $1 AND bundle_id = ANY($2)",
            self.0.tenant,
            bundles
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(ends.rows_affected())
    }

    /// Whether a database that lacks what was there at this time lacks no more than this many
    /// seconds: the service was there so shortly before, by what this one has of it.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn lacks_no_more_than(&mut self, lost: DateTime<Utc>, seconds: f64) -> Result<bool> {
        let count = sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM unbroken_service
               WHERE since <= $1 OR before_at > $1 - make_interval(secs => $2)"#,
            lost,
            seconds
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        Ok(to_u64(count)? > 0)
    }
}
