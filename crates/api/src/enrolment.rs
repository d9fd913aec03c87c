//! How an agent becomes an endpoint.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::Role;

wire! {
    /// A new enrolment token for endpoints of one producer or consumer.
    #[serde(deny_unknown_fields)]
    pub struct NewEnrolmentToken {
        pub role: Role,
        /// The producer or consumer.
        pub party_id: Uuid,
        /// 60 to 604800 seconds; an hour if absent.
        #[serde(default)]
        pub expires_in_s: Option<u32>,
    }

    /// An enrolment token, without its secret.
    pub struct EnrolmentToken {
        pub id: Uuid,
        pub role: Role,
        pub party_id: Uuid,
        pub created_at: DateTime<Utc>,
        pub expires_at: DateTime<Utc>,
        pub used_at: Option<DateTime<Utc>>,
    }

    /// What an agent sends, once, to become an endpoint.
    #[serde(deny_unknown_fields)]
    pub struct Enrol {
        /// 1 to 100 characters.
        pub name: String,
        /// Ed25519 public key, 32 bytes.
        pub signing_key: String,
        /// X25519 public key for HPKE, 32 bytes.
        pub kem_key: String,
        /// Where consumers reach a producer: `http://host:port`.
        #[serde(default)]
        pub address: Option<String>,
        /// The agent's version.
        pub version: String,
    }
}
