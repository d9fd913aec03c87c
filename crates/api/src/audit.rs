//! The audit log's entries and its export.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::SignedHead;

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

    /// First line of an export.
    #[serde(deny_unknown_fields)]
    pub struct ExportHeader {
        /// `armour-audit/1`.
        pub format: String,
        pub tenant_id: Uuid,
        /// Ed25519 public key of the log, 32 bytes.
        pub log_key: String,
        /// Number of the first entry that follows; earlier ones are past their retention.
        pub first: u64,
        /// Complete subtrees of the entries before it, 32 bytes each.
        pub frontier: String,
    }

    /// A line of an export: an entry and the signature on the tree that it completes.
    pub struct ExportedEntry {
        #[serde(flatten)]
        pub entry: AuditEntry,
        /// 64 bytes.
        pub signature: String,
    }

    /// Last line of an export.
    #[serde(deny_unknown_fields)]
    pub struct ExportEnd { pub head: SignedHead }
}
