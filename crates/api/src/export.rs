//! The audit log's export: a header, its entries, and the head that they lead to.

use uuid::Uuid;

use crate::{AuditEntry, LogKeyRotation, SignedHead};

wire! {
    /// First line of an export.
    #[serde(deny_unknown_fields)]
    pub struct ExportHeader {
        /// `armour-audit/1`.
        pub format: String,
        pub tenant_id: Uuid,
        /// Ed25519 public key that signs the log now, 32 bytes.
        pub log_key: String,
        /// How it followed from the log's first key.
        pub rotations: Vec<LogKeyRotation>,
        /// Number of the first entry that follows; earlier ones are past their retention.
        pub first: u64,
        /// Complete subtrees of the entries before it, 32 bytes each.
        pub frontier: String,
    }

    /// A line of an export: an entry and the signature on the tree that it completes.
    pub struct ExportedEntry {
        #[serde(flatten)]
        pub entry: AuditEntry,
        /// The root of the map of endpoints' states after it, 32 bytes; absent in entries from
        /// before there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub map_root: Option<String>,
        /// 64 bytes.
        pub signature: String,
    }

    /// Last line of an export.
    #[serde(deny_unknown_fields)]
    pub struct ExportEnd { pub head: SignedHead }
}
