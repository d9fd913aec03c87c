//! OpenID providers that a tenant trusts, and which workloads of theirs may enrol.

use armour_api::{Issuer, NewIssuer, NewWorkloadRule, WorkloadRule};
use uuid::Uuid;

use crate::{Call, Client, Result};

impl Client {
    /// Trusts an issuer.
    pub fn create_issuer(&self, new: NewIssuer) -> Call<'_, Issuer, NewIssuer> {
        self.act("/v1/issuers", new)
    }

    /// Issuers.
    pub fn issuers(&self) -> Call<'_, Vec<Issuer>> {
        self.read("/v1/issuers")
    }

    /// An issuer.
    pub fn issuer(&self, id: Uuid) -> Call<'_, Issuer> {
        self.read(format!("/v1/issuers/{id}"))
    }

    /// Trusts an issuer no more.
    ///
    /// # Errors
    /// If refused or out of reach.
    pub async fn delete_issuer(&self, id: Uuid) -> Result<()> {
        self.delete(&format!("/v1/issuers/{id}")).await
    }

    /// Lets workloads of an issuer enrol.
    pub fn create_workload_rule(
        &self,
        issuer: Uuid,
        new: NewWorkloadRule,
    ) -> Call<'_, WorkloadRule, NewWorkloadRule> {
        self.act(format!("/v1/issuers/{issuer}/rules"), new)
    }

    /// An issuer's rules.
    pub fn workload_rules(&self, issuer: Uuid) -> Call<'_, Vec<WorkloadRule>> {
        self.read(format!("/v1/issuers/{issuer}/rules"))
    }

    /// Deletes a rule.
    ///
    /// # Errors
    /// If refused or out of reach.
    pub async fn delete_workload_rule(&self, issuer: Uuid, rule: Uuid) -> Result<()> {
        self.delete(&format!("/v1/issuers/{issuer}/rules/{rule}"))
            .await
    }
}
