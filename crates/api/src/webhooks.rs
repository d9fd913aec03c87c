//! Receivers that are told of events.

use chrono::{DateTime, Utc};
use uuid::Uuid;

wire! {
    /// Tells a receiver of events.
    pub struct Webhook {
        pub id: Uuid,
        pub url: String,
        /// Kinds of events; `*` stands for all.
        pub kinds: Vec<String>,
        pub created_at: DateTime<Utc>,
        /// Since when it is told nothing: it answered that it is gone (410), and nobody has
        /// enabled it since.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub disabled_at: Option<DateTime<Utc>>,
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

    /// How a delivery stands.
    #[derive(Copy, Eq, strum::EnumString, strum::IntoStaticStr)]
    #[serde(rename_all = "lowercase")]
    #[strum(serialize_all = "lowercase", const_into_str)]
    pub enum DeliveryState { Pending, Delivered, Failed }
}
