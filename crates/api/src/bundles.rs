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

    /// A bundle's life. Superseded: a later draw or a later start took its place. Retired:
    /// its consumer or producer gave it up.
    #[derive(Copy, Eq, strum::EnumString, strum::IntoStaticStr)]
    #[serde(rename_all = "lowercase")]
    #[strum(serialize_all = "lowercase", const_into_str)]
    pub enum BundleState { Active, Superseded, Retired, Disconnected }

    /// A lane's head in the ledger. A lane has one, and behind it another one if the last of it
    /// that is recorded includes sub-tickets.
    #[derive(Eq)]
    pub struct LaneHead {
        pub lane: u32,
        /// Number of the last recorded exchange.
        pub n: u64,
        /// Number of the last recorded sub-ticket of that exchange; 0 of the exchange itself.
        #[serde(default)]
        pub k: u32,
        /// H of its ticket's body, or its receipt's, hexadecimal; of the sub-ticket or
        /// sub-receipt, if `k` is not 0.
        pub hash: String,
    }

    /// A place among the lanes of bundles, in the order of a heartbeat's.
    #[derive(Copy, Eq)]
    pub struct LaneCursor { pub bundle_id: Uuid, pub lane: u32 }

    /// One end of a bundle, and what shows that the bundle names its key.
    pub struct BundleEnd {
        pub party_id: Uuid,
        pub endpoint_id: Uuid,
        /// The long-term Ed25519 key, which the audit log vouches for; 32 bytes.
        pub signing_key: String,
        /// The long-term X25519 key, 32 bytes.
        pub kem_key: String,
        /// The start whose keys the bundle names, signed by the long-term key.
        pub start: String,
        /// The links that renewed its keys, in order, up to the key that the bundle names.
        pub renewals: Vec<String>,
        /// The Ed25519 key that the bundle names, 32 bytes.
        pub incarnation_key: String,
        /// The party's certificate of the endpoint, if one was given.
        pub certificate: Option<String>,
    }

    /// A bundle with what an endpoint needs to use it.
    pub struct BundleGrant {
        pub bundle: Bundle,
        /// The number of the consumer's draw.
        pub draw: u64,
        /// The context holds SHA-256 of its canonical JSON (RFC 8785).
        pub policy: Policy,
        pub tenant_id: Uuid,
        pub consumer: BundleEnd,
        pub producer: BundleEnd,
        /// Where the producer's endpoint is reached.
        pub producer_address: Option<String>,
        /// The minted secret, HPKE-sealed to the asking endpoint's start; absent once it
        /// has been acknowledged and erased.
        pub sealed_secret: Option<String>,
        /// What the audit log says of the two endpoints' keys; asked for with the
        /// size of the head that the caller has pinned.
        pub log: Option<KeyProof>,
    }

    /// Bundles that the calling endpoint has not acknowledged yet.
    pub struct PendingBundles { pub bundles: Vec<Uuid> }

    /// A bundle's state and the ledger's heads of its lanes.
    pub struct BundleStatus {
        pub id: Uuid,
        pub state: BundleState,
        /// To its consumer: each lane's last recorded ticket. To its producer: each lane's
        /// last recorded receipt.
        pub lanes: Vec<LaneHead>,
    }

    /// When an endpoint obeyed a disconnect.
    pub struct Obedience { pub endpoint_id: Uuid, pub obeyed_at: DateTime<Utc> }
}
