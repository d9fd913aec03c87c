//! Collisions, and the evidence of them.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::KeyProof;

wire! {
    /// A proof that somebody else holds a consumer's state.
    pub struct Collision {
        pub id: Uuid,
        pub pair_id: Uuid,
        pub bundle_id: Uuid,
        pub kind: CollisionKind,
        pub lane: u32,
        pub n: u64,
        /// The recorded signed ticket (158 bytes), where there is one.
        pub recorded: Option<String>,
        /// The contradicting signed ticket (158 bytes), where there is one.
        pub reported: Option<String>,
        /// The endpoint whose report showed it.
        pub reporter_id: Uuid,
        pub detected_at: DateTime<Utc>,
    }

    /// How a collision became evident.
    #[derive(Copy, Eq, strum::EnumString, strum::IntoStaticStr)]
    #[serde(rename_all = "kebab-case")]
    #[strum(serialize_all = "kebab-case", const_into_str)]
    pub enum CollisionKind {
        /// Two different successors of one ticket.
        Fork,
        /// A superseded bundle was used after its grace.
        Superseded,
        /// The consumer disowned a recorded ticket.
        Disowned,
        /// The consumer's bundle was superseded by a draw that is not its own.
        Usurped,
    }

    /// A collision with all that a third party needs to check it.
    pub struct Evidence {
        pub collision: Collision,
        pub consumer_endpoint_id: Uuid,
        /// Ed25519 public key, 32 bytes.
        pub consumer_signing_key: String,
        /// Ed25519 public key of the tenant's log, 32 bytes.
        pub log_key: String,
        pub keys: KeyProof,
    }
}
