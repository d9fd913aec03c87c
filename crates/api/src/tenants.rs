//! Tenants, and how much each may have and ask.

use chrono::{DateTime, Utc};
use uuid::Uuid;

wire! {
    /// A customer of the service.
    pub struct Tenant {
        pub id: Uuid,
        pub name: String,
        pub created_at: DateTime<Utc>,
        pub deleted_at: Option<DateTime<Utc>>,
    }

    /// A new tenant.
    #[serde(deny_unknown_fields)]
    pub struct NewTenant {
        /// 1 to 100 characters.
        pub name: String,
    }

    /// A tenant and its first token, an administrator's, which is shown this once.
    pub struct CreatedTenant { pub tenant: Tenant, pub token: String }

    /// How much a tenant may have and ask.
    #[derive(Eq)]
    #[serde(deny_unknown_fields, default)]
    pub struct Quotas {
        /// Producers and consumers.
        pub parties: u32,
        pub pairs: u32,
        /// Enrolled endpoints that are not revoked.
        pub endpoints: u32,
        /// API tokens that are not revoked.
        pub api_tokens: u32,
        pub issuers: u32,
        pub webhooks: u32,
        /// Requests of people and API tokens in a window of 10 seconds.
        pub requests: u32,
        /// Requests of endpoints in a window of 10 seconds.
        pub endpoint_requests: u32,
    }
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            parties: 10_000,
            pairs: 100_000,
            endpoints: 100_000,
            api_tokens: 200,
            issuers: 20,
            webhooks: 20,
            requests: 20_000,
            endpoint_requests: 200_000,
        }
    }
}
