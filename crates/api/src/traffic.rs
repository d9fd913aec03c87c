//! What goes through a pair, and between whom.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{PairState, ProducerPhase};

wire! {
    /// A pair's endpoints, their bundles, and what the ledger has of them lately.
    pub struct PairTraffic {
        pub pair_id: Uuid,
        pub state: PairState,
        /// How many of the producer's endpoints serve.
        pub serving: u64,
        /// How many endpoints of the consumer there are.
        pub consumers: u64,
        /// How many bundles each of these should hold.
        pub wanted: u32,
        /// How many of the last minutes `recent` counts.
        pub minutes: u32,
        /// The producer's endpoints that are there, in order of their ids, at most 500.
        pub producers: Vec<ProducerTraffic>,
    }

    /// One of a producer's endpoints, and its part of a pair.
    pub struct ProducerTraffic {
        pub endpoint_id: Uuid,
        pub name: String,
        /// What it is for callers.
        pub phase: ProducerPhase,
        pub zone: Option<String>,
        pub last_seen_at: Option<DateTime<Utc>>,
        /// Since when it has not been heard of for longer than it may be silent.
        pub lost_at: Option<DateTime<Utc>>,
        /// Active bundles with it.
        pub bundles: u64,
        /// Exchanges in these that the ledger has recorded.
        pub exchanges: u64,
        /// Exchanges in these that were answered, and reported in the last minutes. Of a lane at
        /// most those of its last 100 reports are counted.
        pub recent: u64,
    }
}
