//! What it takes to ask the issuers that tenants trust.

use std::{sync::Arc, time::Duration};

use armour_api::{Issuer, IssuerKind};
use armour_storage::{Store, Urgency};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use url::Url;
use uuid::Uuid;

use super::provider::{Provider, Providers};
use crate::{
    http::problem::{ApiError, ApiResult},
    identity::authn::denial::DenialLog,
    platform::egress::{Egress, Egresses, Purpose},
};

/// What it takes to ask the issuers that tenants trust.
pub struct Oidc {
    /// The database.
    pub store: Store,
    /// How issuers are called.
    pub egresses: Egresses,
    /// What is known of them.
    pub providers: Providers,
    /// Where the service is reached.
    pub base_url: Url,
    /// Notes whom it does not let in.
    pub denials: Arc<DenialLog>,
    /// Seconds after which a person's session ends in any case.
    pub session_life_s: u32,
    /// How long a session may be idle.
    pub session_idle: chrono::Duration,
}

impl Oidc {
    /// The time, the same for all replicas.
    pub fn now(&self) -> DateTime<Utc> {
        self.store.now()
    }

    /// How the tenant's issuers are called.
    pub fn egress(&self, tenant: Uuid) -> &Egress {
        self.egresses.of(Purpose::Issuers, tenant)
    }

    /// The tenant's issuer for people; what does not exist and what is another's are
    /// one.
    ///
    /// # Errors
    /// 404 if there is none.
    pub async fn people_issuer(&self, tenant: Uuid, id: Uuid) -> ApiResult<Issuer> {
        let mut tx = self.store.tenant_unproven(tenant, Urgency::Members).await?;
        let issuers = tx.issuers().list(Some(IssuerKind::People)).await?;
        issuers
            .into_iter()
            .find(|issuer| issuer.id == id)
            .ok_or_else(|| ApiError::not_found("no such issuer"))
    }

    /// The tenant's issuer as it says that it is, asked anew if what is known is older than that.
    ///
    /// # Errors
    /// 502 `issuer-unreachable` if it cannot be asked.
    pub async fn provider(
        &self,
        tenant: Uuid,
        issuer: &Issuer,
        older_than: Duration,
    ) -> ApiResult<Arc<Provider>> {
        self.providers
            .get(self.egress(tenant), tenant, &issuer.url, older_than)
            .await
    }

    /// A tenant's issuer, asked anew as [`Providers::anew`] does.
    ///
    /// # Errors
    /// 502 if it cannot be asked.
    pub async fn provider_anew(&self, tenant: Uuid, issuer: &Issuer) -> ApiResult<Arc<Provider>> {
        self.providers
            .anew(self.egress(tenant), tenant, &issuer.url)
            .await
    }

    /// Checks a token of the tenant's issuer, as [`Providers::check`] does, now.
    ///
    /// # Errors
    /// 401 if it does not hold, 502 if the issuer cannot be asked.
    pub async fn check(
        &self,
        tenant: Uuid,
        issuer: &Issuer,
        token: &str,
    ) -> ApiResult<Map<String, Value>> {
        self.providers
            .check(self.egress(tenant), tenant, issuer, token, self.now())
            .await
    }
}
