//! The service's own keys, tenants' limits, and webhooks.

#[cfg(feature = "openapi")]
use utoipa::ToSchema;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

wire! {
    /// What a master key's version is for.
    #[derive(Copy, Eq)]
    #[serde(rename_all = "lowercase")]
    pub enum KeyState {
        /// Loaded, opens what it sealed, seals nothing new.
        Standby,
        /// Seals everything.
        Active,
        /// Refused, even where it is still loaded.
        Retired,
    }

    /// A version of the master key; never the key.
    pub struct KeyVersion {
        pub version: i32,
        pub state: KeyState,
        pub created_at: DateTime<Utc>,
        pub retired_at: Option<DateTime<Utc>>,
        /// Whether the replica that answers has loaded it.
        pub loaded: bool,
    }

    /// Asks for a rotation to a loaded version of the master key.
    #[serde(deny_unknown_fields)]
    pub struct NewKeyRotation { pub to_version: i32 }

    /// A rotation: every sealed secret is sealed anew under another version.
    pub struct KeyRotation {
        pub id: Uuid,
        pub to_version: i32,
        /// How many secrets were under another version at the start.
        pub total: i64,
        pub done: i64,
        pub started_at: DateTime<Utc>,
        pub finished_at: Option<DateTime<Utc>>,
    }

    /// A key that signs endpoints' access tokens; never its secret.
    pub struct SigningKey {
        pub kid: String,
        pub created_at: DateTime<Utc>,
        pub activates_at: DateTime<Utc>,
        pub retires_at: Option<DateTime<Utc>>,
    }

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

    /// Tells a receiver of events.
    pub struct Webhook {
        pub id: Uuid,
        pub url: String,
        /// Kinds of events; `*` stands for all.
        pub kinds: Vec<String>,
        pub created_at: DateTime<Utc>,
    }

    /// A new webhook.
    #[serde(deny_unknown_fields)]
    pub struct NewWebhook {
        /// An `https` URL.
        pub url: String,
        /// For example `collision.detected`, `bundle.disconnected`, `endpoint.lost`.
        pub kinds: Vec<String>,
    }

    /// A webhook and the secret that signs its deliveries, which is shown this once.
    pub struct CreatedWebhook {
        pub webhook: Webhook,
        /// `whsec_` and base64 (Standard Webhooks).
        pub secret: String,
    }

    /// How a delivery stands.
    #[derive(Copy, Eq)]
    #[serde(rename_all = "lowercase")]
    pub enum DeliveryState { Pending, Delivered, Failed }

    /// One event on its way to one receiver.
    pub struct Delivery {
        /// `webhook-id` of every attempt.
        pub id: Uuid,
        pub webhook_id: Uuid,
        pub event_seq: i64,
        pub kind: String,
        pub state: DeliveryState,
        pub attempts: i32,
        pub next_attempt_at: DateTime<Utc>,
        pub last_status: Option<i32>,
        pub last_error: Option<String>,
        pub created_at: DateTime<Utc>,
        pub delivered_at: Option<DateTime<Utc>>,
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

words! {
    KeyState { Standby = "standby", Active = "active", Retired = "retired" }
    DeliveryState { Pending = "pending", Delivered = "delivered", Failed = "failed" }
}
