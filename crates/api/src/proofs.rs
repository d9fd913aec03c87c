//! What the audit log's tree proves: its heads, and that entries are in it.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{AuditEntry, EndpointState, LogKeyRotation};

wire! {
    /// The head of a tenant's log, signed with the log's Ed25519 key.
    pub struct SignedHead {
        pub tenant_id: Uuid,
        /// How many entries the tree has.
        pub size: u64,
        /// The tree's root (RFC 9162, section 2.1.1), 32 bytes.
        pub root: String,
        /// The root of the map of endpoints' states that these entries make, 32 bytes; absent
        /// in heads from before there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub map_root: Option<String>,
        /// When this was the latest head: when the last entry was written, or later.
        pub at: DateTime<Utc>,
        /// 64 bytes.
        pub signature: String,
    }

    /// The latest head, and the key that signs heads.
    pub struct LogHead {
        /// Ed25519 public key that signed the head, 32 bytes.
        pub log_key: String,
        /// How that key followed from earlier ones: every rotation, or those since the
        /// size asked about.
        pub rotations: Vec<LogKeyRotation>,
        pub head: SignedHead,
        /// Proof that the tree begins with that of the size asked about; empty if
        /// none was (RFC 9162, section 2.1.4).
        pub consistency: Vec<String>,
    }

    /// An entry, and the proof that it is in the tree of a size.
    pub struct InclusionProof {
        pub entry: AuditEntry,
        /// Size of the tree.
        pub size: u64,
        /// The tree's root, 32 bytes.
        pub root: String,
        /// Hashes of the path (RFC 9162, section 2.1.3), 32 bytes each.
        pub inclusion: Vec<String>,
    }

    /// The proof that the tree of `size` entries begins with that of `first`.
    pub struct ConsistencyProof {
        pub first: u64,
        pub first_root: String,
        pub size: u64,
        pub root: String,
        /// Hashes (RFC 9162, section 2.1.4), 32 bytes each.
        pub consistency: Vec<String>,
    }

    /// The entry with which an endpoint's keys came into the log.
    pub struct EnrolProof {
        pub entry: AuditEntry,
        /// Proof that it is in the tree of the head, 32 bytes each.
        pub inclusion: Vec<String>,
    }

    /// What the head's map says of an endpoint, and what proves it.
    pub struct StateProof {
        pub endpoint_id: Uuid,
        pub state: EndpointState,
        /// H of its last start, unless that has ended without another one; 32 bytes.
        pub start: Option<String>,
        /// SHA-256 of its party's certificate, if one was given.
        pub certificate: Option<String>,
        /// Where a producer's endpoint is reached.
        pub address: Option<String>,
        /// The hashes beside its path in the map, from below the root on, 32 bytes each.
        pub path: Vec<String>,
    }

    /// What the log says of endpoints' keys and states, up to one head.
    pub struct KeyProof {
        pub head: SignedHead,
        /// Proof that the head's tree and that of the size asked about begin alike.
        pub consistency: Vec<String>,
        /// Rotations of the log's key since the size asked about; all if none was.
        pub rotations: Vec<LogKeyRotation>,
        pub keys: Vec<EnrolProof>,
        /// What the head's map says of the ends of a bundle that is granted.
        #[serde(default)]
        pub states: Vec<StateProof>,
    }

    /// A head that an endpoint has pinned and the log no longer holds.
    #[serde(deny_unknown_fields)]
    pub struct LostHead { pub head: SignedHead }

    /// How the log went on after the database had been restored: an entry that says so,
    /// in the tree of a signed head.
    pub struct LogRestart {
        /// The entry `ledger.fence`; the entries before it are as they were.
        pub fence: InclusionProof,
        pub head: SignedHead,
        /// Rotations of the log's key since the one that signed the lost head.
        pub rotations: Vec<LogKeyRotation>,
    }
}
