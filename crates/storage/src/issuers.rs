//! OpenID providers that a tenant trusts, and which workloads become endpoints.

use std::collections::BTreeMap;

use armour_api::{AccessRole, Issuer, IssuerKind, NewIssuer, NewWorkloadRule, Role, WorkloadRule};
use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use crate::{Result, StorageError, Tx, error::word};

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
    created_at: DateTime<Utc>,
}

struct RuleRow {
    rule_id: Uuid,
    issuer_id: Uuid,
    subject: String,
    claims: serde_json::Value,
    role: String,
    party_id: Uuid,
    created_at: DateTime<Utc>,
}

impl Tx {
    /// Adds an issuer; its client's secret is stored apart.
    ///
    /// # Errors
    /// `Exists` if the tenant has one of the kind and name.
    pub async fn create_issuer(&mut self, id: Uuid, new: &NewIssuer) -> Result<Issuer> {
        sqlx::query!(
            "INSERT INTO issuers (tenant_id, issuer_id, kind, name, url, audience, groups_claim,
                                  role_map, scopes)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            self.tenant,
            id,
            new.kind.as_str(),
            new.name,
            new.url,
            new.audience,
            new.groups_claim,
            json!(new.role_map),
            &new.scopes
        )
        .execute(&mut *self.inner)
        .await?;
        self.find_issuer(id).await
    }

    /// One issuer.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn find_issuer(&mut self, id: Uuid) -> Result<Issuer> {
        let all = self.list_issuers(None).await?;
        all.into_iter()
            .find(|issuer| issuer.id == id)
            .ok_or(StorageError::NotFound)
    }

    /// A tenant's issuers, which a quota keeps few; of one kind if given.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn list_issuers(&mut self, kind: Option<IssuerKind>) -> Result<Vec<Issuer>> {
        let rows = sqlx::query_as!(
            IssuerRow,
            "SELECT issuer_id, kind, name, url, audience, groups_claim, role_map, scopes, created_at
             FROM issuers WHERE tenant_id = $1 AND ($2::text IS NULL OR kind = $2)
             ORDER BY issuer_id",
            self.tenant,
            kind.map(IssuerKind::as_str)
        )
        .fetch_all(&mut *self.inner)
        .await?;
        rows.into_iter().map(IssuerRow::into_issuer).collect()
    }

    /// Deletes an issuer, its rules and its people's sessions.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn delete_issuer(&mut self, id: Uuid) -> Result<()> {
        sqlx::query_scalar!(
            "DELETE FROM issuers WHERE tenant_id = $1 AND issuer_id = $2 RETURNING issuer_id",
            self.tenant,
            id
        )
        .fetch_one(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Adds a rule.
    ///
    /// # Errors
    /// `NotFound` if the issuer or the party is unknown.
    pub async fn create_workload_rule(
        &mut self,
        id: Uuid,
        issuer: Uuid,
        new: &NewWorkloadRule,
    ) -> Result<WorkloadRule> {
        self.find_party(new.role, new.party_id).await?;
        sqlx::query_as!(
            RuleRow,
            "INSERT INTO workload_rules (tenant_id, rule_id, issuer_id, subject, claims, role, party_id)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             RETURNING rule_id, issuer_id, subject, claims, role, party_id, created_at",
            self.tenant,
            id,
            issuer,
            new.subject,
            json!(new.claims),
            new.role.as_str(),
            new.party_id
        )
        .fetch_one(&mut *self.inner)
        .await?
        .into_rule()
    }

    /// An issuer's rules in order of id.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn list_workload_rules(&mut self, issuer: Uuid) -> Result<Vec<WorkloadRule>> {
        let rows = sqlx::query_as!(
            RuleRow,
            "SELECT rule_id, issuer_id, subject, claims, role, party_id, created_at
             FROM workload_rules WHERE tenant_id = $1 AND issuer_id = $2 ORDER BY rule_id",
            self.tenant,
            issuer
        )
        .fetch_all(&mut *self.inner)
        .await?;
        rows.into_iter().map(RuleRow::into_rule).collect()
    }

    /// Deletes a rule.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn delete_workload_rule(&mut self, issuer: Uuid, id: Uuid) -> Result<()> {
        sqlx::query_scalar!(
            "DELETE FROM workload_rules WHERE tenant_id = $1 AND issuer_id = $2 AND rule_id = $3
             RETURNING rule_id",
            self.tenant,
            issuer,
            id
        )
        .fetch_one(&mut *self.inner)
        .await?;
        Ok(())
    }
}

impl IssuerRow {
    fn into_issuer(self) -> Result<Issuer> {
        Ok(Issuer {
            id: self.issuer_id,
            kind: word(IssuerKind::parse, &self.kind)?,
            name: self.name,
            url: self.url,
            audience: self.audience,
            groups_claim: self.groups_claim,
            role_map: read::<AccessRole>(self.role_map)?,
            scopes: self.scopes,
            created_at: self.created_at,
        })
    }
}

impl RuleRow {
    fn into_rule(self) -> Result<WorkloadRule> {
        Ok(WorkloadRule {
            id: self.rule_id,
            issuer_id: self.issuer_id,
            subject: self.subject,
            claims: read(self.claims)?,
            role: word(Role::parse, &self.role)?,
            party_id: self.party_id,
            created_at: self.created_at,
        })
    }
}

fn read<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> Result<BTreeMap<String, T>> {
    serde_json::from_value(value).map_err(|error| StorageError::Corrupt(error.to_string()))
}
