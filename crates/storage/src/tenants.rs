//! Tenants.

use armour_api::{Page, Tenant};
use uuid::Uuid;

use crate::{
    error::Result,
    like::containing,
    page::{PAGE, page},
    store::Store,
    tx::{PLATFORM, Tx},
};

impl Tx {
    /// The platform's tenants.
    pub fn tenants(&mut self) -> Tenants<'_> {
        Tenants(self)
    }
}

impl Store {
    /// The tenant after this one, as [`Tenants::next_after`] has it, in a transaction that is over
    /// when a job begins one of its own.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn next_tenant(&self, after: Uuid) -> Result<Option<Uuid>> {
        let mut tx = self.platform().await?;
        tx.tenants().next_after(after).await
    }
}

/// The platform's tenants.
pub struct Tenants<'a>(&'a mut Tx);

impl Tenants<'_> {
    /// Adds a tenant with its journal and keys, and binds the transaction to it.
    ///
    /// # Errors
    /// `Exists` if the name is taken.
    pub async fn create(&mut self, id: Uuid, name: &str) -> Result<Tenant> {
        let tenant = sqlx::query_as!(
            Tenant,
            "INSERT INTO tenants (tenant_id, name) VALUES ($1, $2)
             RETURNING tenant_id AS id, name, created_at, deleted_at",
            id,
            name
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        self.0.bind(id).await?;
        self.0.journals().open().await?;
        Ok(tenant)
    }

    /// One tenant.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn find(&mut self, id: Uuid) -> Result<Tenant> {
        Ok(sqlx::query_as!(
            Tenant,
            "SELECT tenant_id AS id, name, created_at, deleted_at FROM tenants
             WHERE tenant_id = $1 AND tenant_id <> $2",
            id,
            PLATFORM
        )
        .fetch_one(&mut *self.0.inner)
        .await?)
    }

    /// The tenant after this one, those that were deleted left out; for jobs,
    /// as the platform.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn next_after(&mut self, id: Uuid) -> Result<Option<Uuid>> {
        Ok(sqlx::query_scalar!(
            "SELECT tenant_id FROM tenants WHERE tenant_id > $1 AND deleted_at IS NULL
             ORDER BY tenant_id LIMIT 1",
            id
        )
        .fetch_optional(&mut *self.0.inner)
        .await?)
    }

    /// Tenants in order of id; with `search` those whose name or id has that in it.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn list(
        &mut self,
        search: Option<&str>,
        after: Option<Uuid>,
    ) -> Result<Page<Tenant>> {
        let rows = sqlx::query_as!(
            Tenant,
            "SELECT tenant_id AS id, name, created_at, deleted_at FROM tenants
             WHERE tenant_id <> $2 AND ($1::uuid IS NULL OR tenant_id > $1)
               AND ($4::text IS NULL OR name ILIKE $4 OR tenant_id::text ILIKE $4)
             ORDER BY tenant_id LIMIT $3",
            after,
            PLATFORM,
            PAGE + 1,
            search.map(containing)
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        Ok(page(rows, |tenant| tenant.id.to_string()))
    }

    /// Marks a tenant as deleted, as the platform; its name may be given again.
    ///
    /// # Errors
    /// `NotFound` if there is no such tenant that is not deleted.
    pub async fn delete(&mut self, id: Uuid) -> Result<()> {
        sqlx::query_scalar!(
            "UPDATE tenants SET deleted_at = now(), name = name || ' (deleted ' || tenant_id || ')'
             WHERE tenant_id = $1 AND tenant_id <> $2 AND deleted_at IS NULL
             RETURNING tenant_id",
            id,
            PLATFORM
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    /// A deleted tenant whose name is still known, as the platform.
    pub(crate) async fn next_deleted(&mut self) -> Result<Option<Uuid>> {
        Ok(sqlx::query_scalar!(
            "SELECT tenant_id FROM tenants
             WHERE deleted_at IS NOT NULL AND name <> 'deleted ' || tenant_id::text
             ORDER BY tenant_id LIMIT 1"
        )
        .fetch_optional(&mut *self.0.inner)
        .await?)
    }

    /// Forgets a deleted tenant's name, as the platform, whose log has it.
    pub(crate) async fn forget_name(&mut self, id: Uuid) -> Result<()> {
        sqlx::query!(
            "UPDATE tenants SET name = 'deleted ' || tenant_id
             WHERE tenant_id = $1 AND deleted_at IS NOT NULL",
            id
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }
}
