//! Producers and consumers.

use armour_api::{Page, Party, Role};
use uuid::Uuid;

use crate::{
    error::Result,
    page::{PAGE, page},
    tx::Tx,
};

impl Tx {
    /// The tenant's producers and consumers.
    pub fn parties(&mut self) -> Parties<'_> {
        Parties(self)
    }
}

/// The tenant's producers and consumers.
pub struct Parties<'a>(&'a mut Tx);

impl Parties<'_> {
    /// Adds a producer or consumer.
    ///
    /// # Errors
    /// `Exists` if the tenant has one of the name.
    pub async fn create(&mut self, role: Role, id: Uuid, name: &str) -> Result<Party> {
        Ok(sqlx::query_as!(
            Party,
            "INSERT INTO parties (tenant_id, party_id, role, name) VALUES ($1, $2, $3, $4)
             RETURNING party_id AS id, name, created_at",
            self.0.tenant,
            id,
            role.into_str(),
            name
        )
        .fetch_one(&mut *self.0.inner)
        .await?)
    }

    /// One producer or consumer.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn find(&mut self, role: Role, id: Uuid) -> Result<Party> {
        Ok(sqlx::query_as!(
            Party,
            "SELECT party_id AS id, name, created_at FROM parties
             WHERE tenant_id = $1 AND party_id = $2 AND role = $3",
            self.0.tenant,
            id,
            role.into_str()
        )
        .fetch_one(&mut *self.0.inner)
        .await?)
    }

    /// Producers or consumers in order of id.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn list(&mut self, role: Role, after: Option<Uuid>) -> Result<Page<Party>> {
        let rows = sqlx::query_as!(
            Party,
            "SELECT party_id AS id, name, created_at FROM parties
             WHERE tenant_id = $1 AND role = $2 AND ($3::uuid IS NULL OR party_id > $3)
             ORDER BY party_id LIMIT $4",
            self.0.tenant,
            role.into_str(),
            after,
            PAGE + 1
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        Ok(page(rows, |party| party.id.to_string()))
    }

    pub(crate) async fn count(&mut self) -> Result<i64> {
        Ok(sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM parties WHERE tenant_id = $1"#,
            self.0.tenant
        )
        .fetch_one(&mut *self.0.inner)
        .await?)
    }
}
