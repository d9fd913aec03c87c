//! Quotas: how many of a kind a tenant may have.

use armour_api::Quotas;
use serde_json::json;
use uuid::Uuid;

use crate::{
    counted::Counted,
    decode::corrupt,
    error::{Result, StorageError},
    tx::{PLATFORM, Tx},
};

impl Tx {
    /// Quotas of tenants.
    pub fn quotas(&mut self) -> TenantQuotas<'_> {
        TenantQuotas(self)
    }
}

/// Quotas of tenants.
pub struct TenantQuotas<'a>(&'a mut Tx);

impl TenantQuotas<'_> {
    /// What the tenant may have.
    ///
    /// # Errors
    /// `NotFound` if it does not exist.
    pub async fn get(&mut self) -> Result<Quotas> {
        let value = sqlx::query_scalar!(
            "SELECT quotas FROM tenants WHERE tenant_id = $1",
            self.0.tenant
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        read_quotas(value)
    }

    /// Makes sure that one more fits the quota; who adds one meanwhile waits.
    ///
    /// # Errors
    /// `OverQuota`.
    pub async fn check(&mut self, counted: Counted) -> Result<()> {
        self.check_up_to(counted, 1).await
    }

    /// Makes sure that a token may be replaced while the earlier one works on: those that were
    /// replaced may be as many again as the quota, so that who is at it can still rotate.
    ///
    /// # Errors
    /// `OverQuota`.
    pub async fn check_rotation(&mut self) -> Result<()> {
        self.check_up_to(Counted::ApiTokens, 2).await
    }

    async fn check_up_to(&mut self, counted: Counted, times: i64) -> Result<()> {
        // The journal's row is what every change locks in the end anyway.
        sqlx::query!(
            "SELECT tenant_id FROM journals WHERE tenant_id = $1 FOR UPDATE",
            self.0.tenant
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        let (quotas, now) = (self.get().await?, self.0.now());
        let (limit, has) = match counted {
            Counted::Parties => (quotas.parties, self.0.parties().count().await?),
            Counted::Pairs => (quotas.pairs, self.0.pairs().count().await?),
            Counted::Endpoints => (quotas.endpoints, self.0.endpoints().count_active().await?),
            Counted::ApiTokens => (
                quotas.api_tokens,
                self.0.api_tokens().count_live(now).await?,
            ),
            Counted::Issuers => (quotas.issuers, self.0.issuers().count().await?),
            Counted::Webhooks => (quotas.webhooks, self.0.webhooks().count().await?),
        };
        if has >= i64::from(limit) * times {
            return Err(StorageError::OverQuota(counted, limit));
        }
        Ok(())
    }

    /// A tenant's quotas, as the platform; who changes them meanwhile waits.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn lock(&mut self, tenant: Uuid) -> Result<Quotas> {
        let value = sqlx::query_scalar!(
            "SELECT quotas FROM tenants WHERE tenant_id = $1 AND tenant_id <> $2 FOR UPDATE",
            tenant,
            PLATFORM
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        read_quotas(value)
    }

    /// Sets a tenant's quotas, as the platform.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn set(&mut self, tenant: Uuid, quotas: &Quotas) -> Result<()> {
        sqlx::query_scalar!(
            "UPDATE tenants SET quotas = $2 WHERE tenant_id = $1 RETURNING tenant_id",
            tenant,
            json!(quotas)
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        Ok(())
    }
}

fn read_quotas(value: serde_json::Value) -> Result<Quotas> {
    serde_json::from_value(value).map_err(corrupt)
}
