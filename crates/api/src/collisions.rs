//! Collisions, and the evidence of them.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{BundleEnd, KeyProof, Role};

wire! {
    /// A proof that somebody else holds an endpoint's state.
    pub struct Collision {
        pub id: Uuid,
        /// The endpoint whose state was copied.
        pub endpoint_id: Uuid,
        /// Its side.
        pub role: Role,
        pub kind: CollisionKind,
        /// H of the start that signed it, hexadecimal.
        pub start: String,
        /// Where that start runs, as it said itself.
        pub host: Option<String>,
        pub process: Option<u32>,
        pub started_at: Option<DateTime<Utc>>,
        /// The bundle where it was found, for those of tickets and receipts.
        pub pair_id: Option<Uuid>,
        pub bundle_id: Option<Uuid>,
        pub lane: Option<u32>,
        /// The exchange or, for links and starts, the number of the link or start.
        pub n: u64,
        /// The sub-ticket of that exchange, if its streams re-keyed and it is of those.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub k: Option<u32>,
        /// What is recorded, with its proof: a body of a ticket or receipt, a link without
        /// its content, or a start.
        pub recorded: Option<String>,
        /// What contradicts it.
        pub reported: Option<String>,
        /// The endpoint whose report showed it.
        pub reporter_id: Uuid,
        pub detected_at: DateTime<Utc>,
    }

    /// How a collision became evident.
    #[derive(Copy, Eq, strum::EnumString, strum::IntoStaticStr, strum::VariantNames)]
    #[serde(rename_all = "kebab-case")]
    #[strum(serialize_all = "kebab-case", const_into_str)]
    pub enum CollisionKind {
        /// A consumer signed two tickets in one place.
        Fork,
        /// A producer signed two receipts for one ticket.
        ProducerClone,
        /// A consumer named a receipt that its producer never gave, and cannot show it.
        ForeignReceipt,
        /// A ticket or receipt beyond the list with which its signer had retired the bundle.
        AfterRetirement,
        /// The endpoint disowned a recorded ticket, receipt or link.
        Disowned,
        /// Two links to the control plane that one start does not sign.
        Link,
        /// Two starts that one data folder does not make.
        Start,
    }

    /// A collision with all that a third party needs to check it.
    pub struct Evidence {
        pub collision: Collision,
        /// The bundle's ends and what else its context holds, for tickets and receipts.
        pub bundle: Option<EvidenceBundle>,
        /// The start that signed it, and the links that renewed its keys.
        pub start: String,
        pub renewals: Vec<String>,
        /// The endpoint's long-term Ed25519 public key, 32 bytes.
        pub signing_key: String,
        /// Ed25519 public key that signs the tenant's log now, 32 bytes.
        pub log_key: String,
        pub keys: KeyProof,
    }

    /// What a bundle's context holds.
    pub struct EvidenceBundle {
        pub tenant_id: Uuid,
        pub pair_id: Uuid,
        pub bundle_id: Uuid,
        pub suite: u8,
        pub draw: u64,
        /// SHA-256 of the policy, 32 bytes.
        pub policy_hash: String,
        pub consumer: BundleEnd,
        pub producer: BundleEnd,
    }
}

impl CollisionKind {
    /// Their words on the wire.
    pub const WORDS: &'static [&'static str] = <Self as strum::VariantNames>::VARIANTS;
}
