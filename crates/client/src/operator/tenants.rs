//! Tenants, and how much each may have and ask; needs the platform's token.

use armour_api::{AuditEntry, CreatedTenant, NewTenant, Overview, Page, Quotas, Reason, Tenant};
use serde_json::Value;
use uuid::Uuid;

use super::because;
use crate::{Call, Client, Result};

impl Client {
    /// Creates a tenant.
    pub fn create_tenant(&self, name: &str) -> Call<'_, CreatedTenant, NewTenant> {
        let new = NewTenant { name: name.into() };
        self.act("/v1/tenants", new)
    }

    /// Tenants.
    pub fn tenants(&self) -> Call<'_, Page<Tenant>> {
        self.read("/v1/tenants")
    }

    /// A tenant.
    pub fn tenant(&self, id: Uuid) -> Call<'_, Tenant> {
        self.read(format!("/v1/tenants/{id}"))
    }

    /// Deletes a tenant for good.
    ///
    /// # Errors
    /// If refused or out of reach.
    pub async fn delete_tenant(&self, id: Uuid) -> Result<()> {
        self.delete(&format!("/v1/tenants/{id}")).await
    }

    /// After the database was restored: ends what may have been used since.
    pub fn fence_tenant(&self, id: Uuid, reason: &str) -> Call<'_, AuditEntry, Reason> {
        self.act(format!("/v1/tenants/{id}/fence"), because(reason))
    }

    /// How much a tenant may have and ask.
    pub fn tenant_quotas(&self, id: Uuid) -> Call<'_, Quotas> {
        self.read(format!("/v1/tenants/{id}/quotas"))
    }

    /// Changes how much a tenant may have and ask. Takes JSON, not [`Quotas`]: what was
    /// read is written back whole, also fields that this client does not know.
    pub fn replace_tenant_quotas(&self, id: Uuid, quotas: Value) -> Call<'_, Quotas, Value> {
        self.replace(format!("/v1/tenants/{id}/quotas"), quotas)
    }

    /// A tenant at a glance.
    pub fn tenant_overview(&self, id: Uuid) -> Call<'_, Overview> {
        self.read(format!("/v1/tenants/{id}/overview"))
    }
}
