//! API tokens of programs and people.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::AccessRole;

wire! {
    /// An API token, without its secret.
    pub struct ApiToken {
        pub id: Uuid,
        pub name: String,
        pub role: AccessRole,
        /// The token's beginning, by which to recognise it; the secret follows.
        pub prefix: String,
        pub created_at: DateTime<Utc>,
        pub expires_at: Option<DateTime<Utc>>,
        pub revoked_at: Option<DateTime<Utc>>,
        /// To the minute.
        pub last_used_at: Option<DateTime<Utc>>,
    }

    /// A new API token.
    #[serde(deny_unknown_fields)]
    pub struct NewApiToken {
        /// 1 to 100 characters.
        pub name: String,
        /// `tenant-admin`, `operator` or `auditor`.
        pub role: AccessRole,
        /// 60 to 63072000 seconds; it does not expire if absent.
        #[serde(default)]
        pub expires_in_s: Option<u32>,
    }

    /// How a token is replaced.
    #[serde(deny_unknown_fields)]
    pub struct RotateApiToken {
        /// How long the earlier one still works: 0 to 2592000 seconds.
        pub overlap_s: u32,
        /// Life of the new one, 60 to 63072000 seconds; it ends when the earlier
        /// one would have if absent.
        #[serde(default)]
        pub expires_in_s: Option<u32>,
    }
}
