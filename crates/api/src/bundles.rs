//! Bundles: all tickets under one minted secret.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{KeyProof, Policy};

wire! {
    /// All tickets under one minted root secret.
    pub struct Bundle {
        pub id: Uuid,
        pub pair_id: Uuid,
        pub consumer_endpoint_id: Uuid,
        pub producer_endpoint_id: Uuid,
        pub suite: u8,
        pub state: BundleState,
        pub created_at: DateTime<Utc>,
        pub superseded_at: Option<DateTime<Utc>>,
        pub disconnected_at: Option<DateTime<Utc>>,
        /// Exchanges that the ledger has recorded.
        pub exchanges: i64,
    }

    /// A bundle's life.
    #[derive(Copy, Eq, strum::EnumString, strum::IntoStaticStr)]
    #[serde(rename_all = "lowercase")]
    #[strum(serialize_all = "lowercase", const_into_str)]
    pub enum BundleState { Active, Superseded, Disconnected }

    /// A lane's head in the ledger.
    #[derive(Eq)]
    pub struct LaneHead {
        pub lane: u32,
        /// Number of the last recorded exchange.
        pub n: u64,
        /// SHA-256 of its ticket, hexadecimal.
        pub hash: String,
    }

    /// Asks for a bundle; an earlier one of the same endpoint is superseded.
    #[serde(deny_unknown_fields)]
    pub struct DrawBundle {
        pub pair_id: Uuid,
        /// Size of the audit log's head that the endpoint has pinned.
        #[serde(default)]
        pub pinned: Option<u64>,
        /// Greater than that of any earlier draw of this endpoint: a draw that comes
        /// late must not supersede what was drawn after it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub number: Option<u64>,
    }

    /// A bundle with what an endpoint needs to use it.
    pub struct BundleGrant {
        pub bundle: Bundle,
        pub policy: Policy,
        pub tenant_id: Uuid,
        /// The two endpoints' Ed25519 keys.
        pub consumer_signing_key: String,
        pub producer_signing_key: String,
        /// Where the producer's endpoint is reached.
        pub producer_address: Option<String>,
        /// The minted secret, HPKE-sealed to the asking endpoint; absent once
        /// it has been acknowledged and erased.
        pub sealed_secret: Option<String>,
        /// What the audit log says of the two endpoints' keys; asked for with the
        /// size of the head that the caller has pinned.
        pub log: Option<KeyProof>,
    }

    /// A bundle's state and, for its consumer, the ledger's lane heads.
    pub struct BundleStatus { pub id: Uuid, pub state: BundleState, pub lanes: Vec<LaneHead> }

    /// When an endpoint obeyed a disconnect.
    pub struct Obedience { pub endpoint_id: Uuid, pub obeyed_at: DateTime<Utc> }
}
