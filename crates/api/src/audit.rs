//! The audit log's entries.

use chrono::{DateTime, Utc};

wire! {
    /// Who did what, in the order of `seq` within the tenant, from 1 on. Entry
    /// `seq` is leaf `seq - 1` of the log's tree.
    pub struct AuditEntry {
        pub seq: i64,
        /// For example `token:<id>`, `person:<issuer>:<subject>` or `endpoint:<id>`.
        pub actor: String,
        pub action: String,
        pub target: String,
        pub detail: serde_json::Value,
        pub created_at: DateTime<Utc>,
    }
}
