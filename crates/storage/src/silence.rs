//! Endpoints that are not heard of.

use armour_api::Role;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    decode::{to_u64, word},
    error::Result,
    store::Store,
    tx::Tx,
};

/// Which endpoints are silent: those that were not heard of since a time, if they could be.
#[derive(Debug, Clone, Copy)]
pub struct SilentSince {
    /// They were not heard of since then.
    pub last: DateTime<Utc>,
    /// Only those that were heard of since then, if given: the others may not have been able to.
    pub heard_since: Option<DateTime<Utc>>,
}

/// An endpoint that is lost just now.
#[derive(Debug, Clone)]
pub struct LostEndpoint {
    /// The endpoint.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Its side.
    pub role: Role,
    /// Whose it is.
    pub party: Uuid,
}

/// How many of a tenant's endpoints are silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SilentCount {
    /// Those that are.
    pub silent: u64,
    /// All that are there, these included.
    pub there: u64,
}

impl Tx {
    /// The tenant's endpoints that are not heard of.
    pub fn silence(&mut self) -> SilentEndpoints<'_> {
        SilentEndpoints(self)
    }
}

/// The tenant's endpoints that are not heard of.
pub struct SilentEndpoints<'a>(&'a mut Tx);

impl SilentEndpoints<'_> {
    /// How many are silent that are not about to leave.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn count(&mut self, since: SilentSince) -> Result<SilentCount> {
        let row = sqlx::query!(
            r#"SELECT count(*) AS "there!",
                      count(*) FILTER (WHERE last_seen_at < $2
                        AND ($3::timestamptz IS NULL OR last_seen_at >= $3)
                        AND phase IS DISTINCT FROM 'draining'
                        AND EXISTS (SELECT FROM endpoint_starts s WHERE s.tenant_id = $1
                          AND s.endpoint_id = e.endpoint_id AND s.ended_at IS NULL))
                        AS "silent!"
               FROM endpoints e
               WHERE tenant_id = $1 AND state = 'active' AND lost_at IS NULL
                 AND left_at IS NULL"#,
            self.0.tenant,
            since.last,
            since.heard_since
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        Ok(SilentCount {
            silent: to_u64(row.silent)?,
            there: to_u64(row.there)?,
        })
    }

    /// The longest interval of signs of life that a policy of the tenant's has, in milliseconds.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn longest_interval_ms(&mut self) -> Result<i64> {
        Ok(sqlx::query_scalar!(
            r#"SELECT coalesce(max((policy ->> 'heartbeat_interval_ms')::bigint), 0)
                      AS "longest!"
               FROM pairs WHERE tenant_id = $1"#,
            self.0.tenant
        )
        .fetch_one(&mut *self.0.inner)
        .await?)
    }

    /// Those that were about to leave and are silent, at most so many.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn draining(&mut self, since: SilentSince, limit: i64) -> Result<Vec<Uuid>> {
        Ok(sqlx::query_scalar!(
            "SELECT endpoint_id FROM endpoints
             WHERE tenant_id = $1 AND state = 'active' AND lost_at IS NULL AND left_at IS NULL
               AND phase = 'draining' AND last_seen_at < $2
               AND ($3::timestamptz IS NULL OR last_seen_at >= $3)
             ORDER BY endpoint_id LIMIT $4",
            self.0.tenant,
            since.last,
            since.heard_since,
            limit
        )
        .fetch_all(&mut *self.0.inner)
        .await?)
    }

    /// Marks endpoints with a living start that are silent as lost, at most so many; returns those
    /// that were not marked before. One that others have locked is being heard of.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn mark_lost(&mut self, since: SilentSince, limit: i64) -> Result<Vec<LostEndpoint>> {
        let rows = sqlx::query!(
            "WITH due AS (
                 SELECT endpoint_id FROM endpoints e
                 WHERE tenant_id = $1 AND state = 'active' AND lost_at IS NULL
                   AND left_at IS NULL AND phase IS DISTINCT FROM 'draining'
                   AND last_seen_at < $2
                   AND ($3::timestamptz IS NULL OR last_seen_at >= $3)
                   AND EXISTS (SELECT FROM endpoint_starts s WHERE s.tenant_id = $1
                                 AND s.endpoint_id = e.endpoint_id AND s.ended_at IS NULL)
                 ORDER BY endpoint_id LIMIT $4 FOR NO KEY UPDATE OF e SKIP LOCKED)
             UPDATE endpoints SET lost_at = now()
             WHERE tenant_id = $1 AND endpoint_id IN (SELECT endpoint_id FROM due)
             RETURNING endpoint_id, name, role, party_id",
            self.0.tenant,
            since.last,
            since.heard_since,
            limit
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(LostEndpoint {
                    id: row.endpoint_id,
                    name: row.name,
                    role: word(&row.role)?,
                    party: row.party_id,
                })
            })
            .collect()
    }

    /// Since when so many are silent at once that none is taken for lost.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn of_many_since(&mut self) -> Result<Option<DateTime<Utc>>> {
        Ok(sqlx::query_scalar!(
            "SELECT silence_at FROM journals WHERE tenant_id = $1",
            self.0.tenant
        )
        .fetch_one(&mut *self.0.inner)
        .await?)
    }

    /// Notes since when that is so, or that it is over. Returns whether that changed it.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn set_of_many(&mut self, since: Option<DateTime<Utc>>) -> Result<bool> {
        let done = sqlx::query!(
            "UPDATE journals SET silence_at = $2
             WHERE tenant_id = $1 AND (silence_at IS NULL) <> ($2::timestamptz IS NULL)",
            self.0.tenant,
            since
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Marks endpoints without a living start as gone, at most so many: from before it was noted,
    /// or marked as back by a control plane that does not know of it.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn mark_left(&mut self, since: DateTime<Utc>, limit: i64) -> Result<u64> {
        let done = sqlx::query!(
            "WITH due AS (
                 SELECT endpoint_id FROM endpoints e
                 WHERE tenant_id = $1 AND state = 'active' AND lost_at IS NULL
                   AND left_at IS NULL AND last_seen_at < $2
                   AND NOT EXISTS (SELECT FROM endpoint_starts s WHERE s.tenant_id = $1
                                     AND s.endpoint_id = e.endpoint_id AND s.ended_at IS NULL)
                 ORDER BY endpoint_id LIMIT $3 FOR NO KEY UPDATE OF e SKIP LOCKED)
             UPDATE endpoints SET left_at = now()
             WHERE tenant_id = $1 AND endpoint_id IN (SELECT endpoint_id FROM due)",
            self.0.tenant,
            since,
            limit
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(done.rows_affected())
    }
}

impl Store {
    /// Says that the service is there. Returns since when it has been without a break of this
    /// many seconds.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn unbroken_since(&self, gap: f64) -> Result<DateTime<Utc>> {
        let mut tx = self.platform().await?;
        let since = sqlx::query_scalar!(
            "INSERT INTO unbroken_service AS u (since, seen_at) VALUES ($1, $1)
             ON CONFLICT (one) DO UPDATE SET seen_at = greatest(u.seen_at, excluded.seen_at),
               since = CASE WHEN u.seen_at < excluded.seen_at - make_interval(secs => $2)
                 THEN excluded.since ELSE u.since END
             RETURNING since",
            self.now(),
            gap
        )
        .fetch_one(&mut *tx.inner)
        .await?;
        tx.commit().await?;
        Ok(since)
    }
}
