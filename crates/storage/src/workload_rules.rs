//! Which workloads that an issuer vouches for become endpoints.

use armour_api::{NewWorkloadRule, WorkloadRule};
use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use crate::{
    decode::{corrupt, word},
    error::Result,
    tx::Tx,
};

impl Tx {
    /// The rules by which the tenant's workloads become endpoints.
    pub fn workload_rules(&mut self) -> WorkloadRules<'_> {
        WorkloadRules(self)
    }
}

/// The rules by which the tenant's workloads become endpoints.
pub struct WorkloadRules<'a>(&'a mut Tx);

impl WorkloadRules<'_> {
    /// Adds a rule.
    ///
    /// # Errors
    /// `NotFound` if the issuer or the party is unknown.
    pub async fn create(
        &mut self,
        id: Uuid,
        issuer: Uuid,
        new: &NewWorkloadRule,
    ) -> Result<WorkloadRule> {
        self.0.parties().find(new.role, new.party_id).await?;
        sqlx::query_as!(
            RuleRow,
            "INSERT INTO workload_rules (tenant_id, rule_id, issuer_id, subject, claims, role, party_id)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             RETURNING rule_id, issuer_id, subject, claims, role, party_id, created_at",
            self.0.tenant,
            id,
            issuer,
            new.subject,
            json!(new.claims),
            new.role.into_str(),
            new.party_id
        )
        .fetch_one(&mut *self.0.inner)
        .await?
        .into_rule()
    }

    /// An issuer's rules in order of id.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn list(&mut self, issuer: Uuid) -> Result<Vec<WorkloadRule>> {
        let rows = sqlx::query_as!(
            RuleRow,
            "SELECT rule_id, issuer_id, subject, claims, role, party_id, created_at
             FROM workload_rules WHERE tenant_id = $1 AND issuer_id = $2 ORDER BY rule_id",
            self.0.tenant,
            issuer
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        rows.into_iter().map(RuleRow::into_rule).collect()
    }

    /// Deletes a rule.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn delete(&mut self, issuer: Uuid, id: Uuid) -> Result<()> {
        sqlx::query_scalar!(
            "DELETE FROM workload_rules WHERE tenant_id = $1 AND issuer_id = $2 AND rule_id = $3
             RETURNING rule_id",
            self.0.tenant,
            issuer,
            id
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        Ok(())
    }
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

impl RuleRow {
    fn into_rule(self) -> Result<WorkloadRule> {
        Ok(WorkloadRule {
            id: self.rule_id,
            issuer_id: self.issuer_id,
            subject: self.subject,
            claims: serde_json::from_value(self.claims).map_err(corrupt)?,
            role: word(&self.role)?,
            party_id: self.party_id,
            created_at: self.created_at,
        })
    }
}
