//! OpenID providers that a tenant trusts.

use armour_api::{Issuer, IssuerKind, NewIssuer};
use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use crate::{
    decode::{corrupt, word},
    error::{Result, StorageError},
    tx::Tx,
};

impl Tx {
    /// The tenant's issuers.
    pub fn issuers(&mut self) -> Issuers<'_> {
        Issuers(self)
    }
}

/// The tenant's issuers.
pub struct Issuers<'a>(&'a mut Tx);

impl Issuers<'_> {
    /// Adds an issuer; its client's secret is stored apart.
    ///
    /// # Errors
    /// `Exists` if the tenant has one of the kind and name.
    pub async fn create(&mut self, id: Uuid, new: &NewIssuer) -> Result<Issuer> {
        sqlx::query!(
            "INSERT INTO issuers (tenant_id, issuer_id, kind, name, url, audience, groups_claim,
                                  role_map, scopes, client_authentication)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            self.0.tenant,
            id,
            new.kind.into_str(),
            new.name,
            new.url,
            new.audience,
            new.groups_claim,
            json!(new.role_map),
            &new.scopes,
            new.client_authentication.into_str()
        )
        .execute(&mut *self.0.inner)
        .await?;
        self.find(id).await
    }

    /// One issuer.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn find(&mut self, id: Uuid) -> Result<Issuer> {
        let all = self.list(None).await?;
        all.into_iter()
            .find(|issuer| issuer.id == id)
            .ok_or(StorageError::NotFound)
    }

    /// A tenant's issuers, which a quota keeps few; of one kind if given.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn list(&mut self, kind: Option<IssuerKind>) -> Result<Vec<Issuer>> {
        let rows = sqlx::query_as!(
            IssuerRow,
            "SELECT issuer_id, kind, name, url, audience, groups_claim, role_map, scopes,
                    client_authentication, created_at
             FROM issuers WHERE tenant_id = $1 AND ($2::text IS NULL OR kind = $2)
               AND NOT EXISTS (SELECT FROM tenants t
                               WHERE t.tenant_id = $1 AND t.deleted_at IS NOT NULL)
             ORDER BY issuer_id",
            self.0.tenant,
            kind.map(<&str>::from)
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        rows.into_iter().map(IssuerRow::into_issuer).collect()
    }

    /// Deletes an issuer, its rules and its people's sessions.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn delete(&mut self, id: Uuid) -> Result<()> {
        sqlx::query_scalar!(
            "DELETE FROM issuers WHERE tenant_id = $1 AND issuer_id = $2 RETURNING issuer_id",
            self.0.tenant,
            id
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    pub(crate) async fn count(&mut self) -> Result<i64> {
        Ok(sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM issuers WHERE tenant_id = $1"#,
            self.0.tenant
        )
        .fetch_one(&mut *self.0.inner)
        .await?)
    }
}

/// Name of the secret of an issuer's client.
pub fn client_secret(issuer: Uuid) -> String {
    format!("issuer:{issuer}")
}

struct IssuerRow {
    issuer_id: Uuid,
    kind: String,
    name: String,
    url: String,
    audience: String,
    groups_claim: String,
    role_map: serde_json::Value,
    scopes: Vec<String>,
    client_authentication: String,
    created_at: DateTime<Utc>,
}

impl IssuerRow {
    fn into_issuer(self) -> Result<Issuer> {
        Ok(Issuer {
            id: self.issuer_id,
            kind: word(&self.kind)?,
            name: self.name,
            url: self.url,
            audience: self.audience,
            groups_claim: self.groups_claim,
            role_map: serde_json::from_value(self.role_map).map_err(corrupt)?,
            scopes: self.scopes,
            client_authentication: word(&self.client_authentication)?,
            created_at: self.created_at,
        })
    }
}
