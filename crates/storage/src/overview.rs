//! The tenant at a glance, and the service itself.

use armour_api::{CollisionsOfDay, Obedience, Overview, Replica, System};
use chrono::{DateTime, Duration, Utc};
use uuid::Uuid;

use crate::{PLATFORM, Result, Tx};

/// How far back the overview looks.
const DAYS: i64 = 30;

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
            r#"SELECT coalesce(sum(head_n + 1), 0)::bigint AS "exchanges!" FROM lanes
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
                     FROM obediences o JOIN bundles b USING (tenant_id, bundle_id)
                     WHERE o.tenant_id = $1 AND disconnected_at > $2) AS latencies"#,
            self.tenant,
            since
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

    /// Notes which disconnects an endpoint has obeyed: those of the last hour whose
    /// bundle it no longer holds.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn note_obedience(&mut self, endpoint: Uuid, held: &[Uuid]) -> Result<()> {
        sqlx::query!(
            "INSERT INTO obediences (tenant_id, bundle_id, endpoint_id)
             SELECT tenant_id, bundle_id, $2 FROM bundles
             WHERE tenant_id = $1 AND (consumer_endpoint_id = $2 OR producer_endpoint_id = $2)
               AND disconnected_at > now() - interval '1 hour' AND bundle_id <> ALL ($3)
             ON CONFLICT DO NOTHING",
            self.tenant,
            endpoint,
            held
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// When endpoints obeyed a bundle's disconnect.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn obediences(&mut self, bundle: Uuid) -> Result<Vec<Obedience>> {
        Ok(sqlx::query_as!(
            Obedience,
            "SELECT endpoint_id, obeyed_at FROM obediences
             WHERE tenant_id = $1 AND bundle_id = $2 ORDER BY obeyed_at",
            self.tenant,
            bundle
        )
        .fetch_all(&mut *self.inner)
        .await?)
    }

    /// Says that a replica is there, and forgets those that have not for an hour.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn touch_replica(&mut self, id: Uuid, version: &str) -> Result<()> {
        sqlx::query!(
            "INSERT INTO replicas (replica_id, version) VALUES ($1, $2)
             ON CONFLICT (replica_id) DO UPDATE SET seen_at = now()",
            id,
            version
        )
        .execute(&mut *self.inner)
        .await?;
        sqlx::query!("DELETE FROM replicas WHERE seen_at < now() - interval '1 hour'")
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// The service itself, as the platform.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn system(&mut self, now: DateTime<Utc>) -> Result<System> {
        let replicas = sqlx::query_as!(
            Replica,
            "SELECT replica_id AS id, version, started_at, seen_at FROM replicas
             WHERE seen_at > now() - interval '1 minute' ORDER BY started_at"
        )
        .fetch_all(&mut *self.inner)
        .await?;
        let database = sqlx::query!(
            r#"SELECT current_setting('server_version') AS "version!",
                      pg_database_size(current_database()) AS "bytes!""#
        )
        .fetch_one(&mut *self.inner)
        .await?;
        // Not checked beforehand: the table is made by the first migration itself.
        let migrations =
            sqlx::query_scalar("SELECT version FROM _sqlx_migrations ORDER BY version")
                .fetch_all(&mut *self.inner)
                .await?;
        let tenants = sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM tenants
               WHERE deleted_at IS NULL AND tenant_id <> $1"#,
            PLATFORM
        )
        .fetch_one(&mut *self.inner)
        .await?;
        let waiting = sqlx::query!(
            r#"SELECT count(*) AS "count!", min(due_at) AS since FROM work_hints
               WHERE due_at <= $1"#,
            now
        )
        .fetch_one(&mut *self.inner)
        .await?;
        Ok(System {
            replicas,
            database_version: database.version,
            database_bytes: database.bytes,
            migrations,
            tenants,
            tenants_waiting: waiting.count,
            waiting_since: waiting.since,
        })
    }
}
