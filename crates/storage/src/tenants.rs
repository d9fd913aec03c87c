//! Tenants.

use armour_api::{Page, Tenant};
use uuid::Uuid;

use crate::{PAGE, Result, Tx, page};

impl Tx {
    /// Adds a tenant and binds the transaction to it.
    ///
    /// # Errors
    /// `Exists` if the name is taken.
    pub async fn create_tenant(&mut self, id: Uuid, name: &str) -> Result<Tenant> {
        let tenant = sqlx::query_as!(
            Tenant,
            "INSERT INTO tenants (tenant_id, name) VALUES ($1, $2)
             RETURNING tenant_id AS id, name, created_at",
            id,
            name
        )
        .fetch_one(&mut *self.inner)
        .await?;
        sqlx::query!(
            "SELECT set_config('armour.tenant', $1, true)",
            id.to_string()
        )
        .fetch_one(&mut *self.inner)
        .await?;
        self.tenant = id;
        Ok(tenant)
    }

    /// One tenant.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn find_tenant(&mut self, id: Uuid) -> Result<Tenant> {
        Ok(sqlx::query_as!(
            Tenant,
            "SELECT tenant_id AS id, name, created_at FROM tenants WHERE tenant_id = $1",
            id
        )
        .fetch_one(&mut *self.inner)
        .await?)
    }

    /// Tenants in order of id.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn list_tenants(&mut self, after: Option<Uuid>) -> Result<Page<Tenant>> {
        let rows = sqlx::query_as!(
            Tenant,
            "SELECT tenant_id AS id, name, created_at FROM tenants
             WHERE $1::uuid IS NULL OR tenant_id > $1 ORDER BY tenant_id LIMIT $2",
            after,
            PAGE + 1
        )
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(page(rows, |tenant| tenant.id.to_string()))
    }
}
