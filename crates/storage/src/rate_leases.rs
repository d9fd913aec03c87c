//! Rates, the same for all replicas: each leases a part of a tenant's.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{error::Result, shares::Urgency, store::Store};

/// What a replica may use of a tenant's rate.
#[derive(Debug, Clone, Copy)]
pub struct RateLease {
    /// Requests granted to this replica.
    pub granted: u32,
    /// Requests that are left for all in the window.
    pub left: u32,
    /// When the window began, by the database's clock.
    pub window: DateTime<Utc>,
    /// How long it still lasts.
    pub resets_in: std::time::Duration,
}

impl Store {
    /// Takes up to `wanted` requests of what the tenant may make in the window of
    /// `window` seconds. All replicas together are never given more than `limit`.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn lease_rate(
        &self,
        tenant: Uuid,
        class: &str,
        window: i32,
        limit: u32,
        wanted: u32,
        urgency: Urgency,
    ) -> Result<RateLease> {
        let mut tx = self.tenant_for(tenant, urgency).await?;
        // Windows are cut by the database's clock, the same for all replicas.
        let started = sqlx::query_scalar!(
            r#"SELECT to_timestamp(floor(extract(epoch FROM clock_timestamp()) / $1::integer)
                                   * $1::integer) AS "started!""#,
            window
        )
        .fetch_one(&mut *tx.inner)
        .await?;
        sqlx::query!(
            "INSERT INTO rate_windows (tenant_id, class, started_at, used) VALUES ($1, $2, $3, 0)
             ON CONFLICT (tenant_id, class) DO UPDATE SET started_at = $3, used = 0
               WHERE rate_windows.started_at < $3",
            tenant,
            class,
            started
        )
        .execute(&mut *tx.inner)
        .await?;
        // Of a later window, if another replica has begun it meanwhile.
        let row = sqlx::query!(
            r#"SELECT used, started_at,
                      extract(epoch FROM started_at - clock_timestamp())::float8 AS "since!"
               FROM rate_windows WHERE tenant_id = $1 AND class = $2 FOR UPDATE"#,
            tenant,
            class
        )
        .fetch_one(&mut *tx.inner)
        .await?;
        let left = u32::try_from(i64::from(limit) - row.used).unwrap_or(0);
        let granted = left.min(wanted);
        sqlx::query!(
            "UPDATE rate_windows SET used = used + $3 WHERE tenant_id = $1 AND class = $2",
            tenant,
            class,
            i64::from(granted)
        )
        .execute(&mut *tx.inner)
        .await?;
        tx.commit().await?;
        Ok(RateLease {
            granted,
            left: left - granted,
            window: row.started_at,
            resets_in: std::time::Duration::from_secs_f64(
                (f64::from(window) + row.since).clamp(0.0, f64::from(window)),
            ),
        })
    }
}
