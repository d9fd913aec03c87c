//! Quotas and rates, the same for all replicas.

use armour_api::Quotas;
use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use crate::{PLATFORM, Result, StorageError, Store, Tx};

/// What a quota counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Producers and consumers.
    Parties,
    /// Pairs.
    Pairs,
    /// Endpoints that are not revoked.
    Endpoints,
    /// API tokens that are not revoked.
    ApiTokens,
    /// Issuers.
    Issuers,
    /// Webhooks.
    Webhooks,
}

/// What a replica may spend of a tenant's rate.
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

impl Counted {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Parties => "producers and consumers",
            Self::Pairs => "pairs",
            Self::Endpoints => "endpoints",
            Self::ApiTokens => "API tokens",
            Self::Issuers => "issuers",
            Self::Webhooks => "webhooks",
        }
    }
}

impl Tx {
    /// What the tenant may have.
    ///
    /// # Errors
    /// `NotFound` if it does not exist.
    pub async fn quotas(&mut self) -> Result<Quotas> {
        let value = sqlx::query_scalar!(
            "SELECT quotas FROM tenants WHERE tenant_id = $1",
            self.tenant
        )
        .fetch_one(&mut *self.inner)
        .await?;
        read_quotas(value)
    }

    /// A tenant's quotas, as the platform; who changes them meanwhile waits.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn lock_quotas(&mut self, tenant: Uuid) -> Result<Quotas> {
        let value = sqlx::query_scalar!(
            "SELECT quotas FROM tenants WHERE tenant_id = $1 AND tenant_id <> $2 FOR UPDATE",
            tenant,
            PLATFORM
        )
        .fetch_one(&mut *self.inner)
        .await?;
        read_quotas(value)
    }

    /// Sets a tenant's quotas, as the platform.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn set_quotas(&mut self, tenant: Uuid, quotas: &Quotas) -> Result<()> {
        sqlx::query_scalar!(
            "UPDATE tenants SET quotas = $2 WHERE tenant_id = $1 RETURNING tenant_id",
            tenant,
            json!(quotas)
        )
        .fetch_one(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Makes sure that one more fits the quota; who adds one meanwhile waits.
    ///
    /// # Errors
    /// `OverQuota`.
    pub async fn check_quota(&mut self, counted: Counted) -> Result<()> {
        // The journal's row is what every change locks in the end anyway.
        sqlx::query!(
            "SELECT tenant_id FROM journals WHERE tenant_id = $1 FOR UPDATE",
            self.tenant
        )
        .fetch_one(&mut *self.inner)
        .await?;
        let quotas = self.quotas().await?;
        let (most, has) = match counted {
            Counted::Parties => (quotas.parties, self.count_parties().await?),
            Counted::Pairs => (quotas.pairs, self.count_pairs().await?),
            Counted::Endpoints => (quotas.endpoints, self.count_endpoints().await?),
            Counted::ApiTokens => (quotas.api_tokens, self.count_api_tokens().await?),
            Counted::Issuers => (quotas.issuers, self.count_issuers().await?),
            Counted::Webhooks => (quotas.webhooks, self.count_webhooks().await?),
        };
        if has >= i64::from(most) {
            return Err(StorageError::OverQuota(counted, most));
        }
        Ok(())
    }

    async fn count_parties(&mut self) -> Result<i64> {
        Ok(sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM parties WHERE tenant_id = $1"#,
            self.tenant
        )
        .fetch_one(&mut *self.inner)
        .await?)
    }

    async fn count_pairs(&mut self) -> Result<i64> {
        Ok(sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM pairs WHERE tenant_id = $1"#,
            self.tenant
        )
        .fetch_one(&mut *self.inner)
        .await?)
    }

    async fn count_endpoints(&mut self) -> Result<i64> {
        Ok(sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM endpoints
               WHERE tenant_id = $1 AND state = 'active'"#,
            self.tenant
        )
        .fetch_one(&mut *self.inner)
        .await?)
    }

    async fn count_api_tokens(&mut self) -> Result<i64> {
        Ok(sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM api_tokens
               WHERE tenant_id = $1 AND revoked_at IS NULL"#,
            self.tenant
        )
        .fetch_one(&mut *self.inner)
        .await?)
    }

    async fn count_issuers(&mut self) -> Result<i64> {
        Ok(sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM issuers WHERE tenant_id = $1"#,
            self.tenant
        )
        .fetch_one(&mut *self.inner)
        .await?)
    }

    async fn count_webhooks(&mut self) -> Result<i64> {
        Ok(sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM webhooks WHERE tenant_id = $1"#,
            self.tenant
        )
        .fetch_one(&mut *self.inner)
        .await?)
    }
}

impl Store {
    /// Takes up to `ask` requests of what the tenant may make in the window of
    /// `window` seconds. All replicas together are never given more than `most`.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn lease_rate(
        &self,
        tenant: Uuid,
        class: &str,
        window: i32,
        most: u32,
        ask: u32,
    ) -> Result<RateLease> {
        let mut tx = self.tenant(tenant).await?;
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
        let left = u32::try_from(i64::from(most) - row.used).unwrap_or(0);
        let granted = left.min(ask);
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

fn read_quotas(value: serde_json::Value) -> Result<Quotas> {
    serde_json::from_value(value).map_err(|error| StorageError::Corrupt(error.to_string()))
}
