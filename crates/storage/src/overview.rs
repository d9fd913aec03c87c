//! The tenant at a glance.

use armour_api::{CollisionsOfDay, Overview};
use chrono::{DateTime, Duration, Utc};

use crate::{error::Result, tx::Tx};

/// How far back the overview looks.
const DAYS: i64 = 30;
/// Of how many acknowledgements, the latest, it tells how long they took.
const MAX_LATENCIES: i64 = 10_000;

impl Tx {
    /// The tenant at a glance.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn overview(&mut self, now: DateTime<Utc>) -> Result<Overview> {
        let since = now - Duration::days(DAYS);
        let pairs = sqlx::query!(
            r#"SELECT count(*) FILTER (WHERE state = 'active') AS "active!",
                      count(*) FILTER (WHERE state = 'disconnected') AS "disconnected!"
               FROM pairs WHERE tenant_id = $1"#,
            self.tenant
        )
        .fetch_one(&mut *self.inner)
        .await?;
        let endpoints = sqlx::query!(
            r#"SELECT count(*) FILTER (WHERE state = 'active' AND lost_at IS NULL) AS "healthy!",
                      count(*) FILTER (WHERE state = 'active' AND lost_at IS NOT NULL) AS "lost!",
                      count(*) FILTER (WHERE state = 'revoked') AS "revoked!"
               FROM endpoints WHERE tenant_id = $1"#,
            self.tenant
        )
        .fetch_one(&mut *self.inner)
        .await?;
        let exchanges = sqlx::query_scalar!(
            r#"SELECT coalesce(sum(exchanges), 0)::bigint AS "exchanges!" FROM exchange_counts
               WHERE tenant_id = $1"#,
            self.tenant
        )
        .fetch_one(&mut *self.inner)
        .await?;
        let collisions = sqlx::query_as!(
            CollisionsOfDay,
            r#"SELECT (detected_at AT TIME ZONE 'UTC')::date AS "day!", count(*) AS "count!"
               FROM collisions WHERE tenant_id = $1 AND detected_at > $2 GROUP BY 1 ORDER BY 1"#,
            self.tenant,
            since
        )
        .fetch_all(&mut *self.inner)
        .await?;
        let obeyed = sqlx::query!(
            r#"SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) AS median,
                      percentile_cont(0.99) WITHIN GROUP (ORDER BY ms) AS p99
               FROM (SELECT 1000 * extract(epoch FROM obeyed_at - disconnected_at)::float8 AS ms
                     FROM (SELECT * FROM obediences WHERE tenant_id = $1 AND obeyed_at > $2
                           ORDER BY obeyed_at DESC LIMIT $3) AS o
                     JOIN bundles b USING (tenant_id, bundle_id)
                     WHERE disconnected_at > $2) AS latencies"#,
            self.tenant,
            since,
            MAX_LATENCIES
        )
        .fetch_one(&mut *self.inner)
        .await?;
        Ok(Overview {
            pairs_active: pairs.active,
            pairs_disconnected: pairs.disconnected,
            endpoints_healthy: endpoints.healthy,
            endpoints_lost: endpoints.lost,
            endpoints_revoked: endpoints.revoked,
            exchanges,
            counted_at: now,
            collisions,
            obeyed_after_ms_median: obeyed.median,
            obeyed_after_ms_p99: obeyed.p99,
        })
    }
}
