//! How the audit log's key is replaced.

use chrono::{DateTime, Utc};
use uuid::Uuid;

wire! {
    /// A key of a tenant's log hands over to the next. Both sign it: the old one that it
    /// is followed by the new one, the new one that somebody holds it.
    pub struct LogKeyRotation {
        pub tenant_id: Uuid,
        /// 1 for the log's first rotation.
        pub number: u64,
        /// How many entries the log had: the old key signed heads up to this size, the
        /// new one signs those of a larger size. Entry `size + 1` is the rotation's own.
        pub size: u64,
        pub at: DateTime<Utc>,
        /// Ed25519 public key, 32 bytes.
        pub old_key: String,
        /// Ed25519 public key, 32 bytes.
        pub new_key: String,
        /// The old key's, 64 bytes.
        pub old_signature: String,
        /// The new key's, 64 bytes.
        pub new_signature: String,
    }
}
