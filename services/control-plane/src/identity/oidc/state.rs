//! What it takes to ask the issuers that tenants trust.

use armour_api::{Issuer, IssuerKind};
use armour_storage::Store;
use chrono::{DateTime, Utc};
use url::Url;
use uuid::Uuid;

use super::provider::Providers;
use crate::{
    http::problem::{ApiError, ApiResult},
    platform::egress::Egress,
};

/// What it takes to ask the issuers that tenants trust.
pub struct Oidc {
    /// The database.
    pub store: Store,
    /// How issuers are called.
    pub egress: Egress,
    /// What is known of them.
    pub providers: Providers,
    /// Where the service is reached.
    pub base_url: Url,
    /// Seconds after which a person's session ends in any case.
    pub session_life_s: u32,
}

impl Oidc {
    /// The time, the same for all replicas.
    pub fn now(&self) -> DateTime<Utc> {
        self.store.now()
    }

    /// The tenant's issuer for people; what does not exist and what is another's are
    /// one.
    ///
    /// # Errors
    /// 404 if there is none.
    pub async fn people_issuer(&self, tenant: Uuid, id: Uuid) -> ApiResult<Issuer> {
        let mut tx = self.store.tenant(tenant).await?;
        let issuers = tx.issuers().list(Some(IssuerKind::People)).await?;
        issuers
            .into_iter()
            .find(|issuer| issuer.id == id)
            .ok_or_else(|| ApiError::not_found("no such issuer"))
    }
}
