//! What happened, as it happens.

use chrono::{DateTime, Utc};
use uuid::Uuid;

wire! {
    /// Something that happened, in the order of `seq` within the tenant.
    pub struct Event {
        pub seq: i64,
        /// For example `bundle.disconnected`.
        pub kind: String,
        pub pair_id: Option<Uuid>,
        pub bundle_id: Option<Uuid>,
        pub endpoint_id: Option<Uuid>,
        pub detail: serde_json::Value,
        pub created_at: DateTime<Utc>,
    }
}
