//! A tenant at a glance.

use chrono::{DateTime, NaiveDate, Utc};

wire! {
    /// The tenant at a glance.
    pub struct Overview {
        pub pairs_active: i64,
        pub pairs_disconnected: i64,
        /// Active endpoints that have been heard of lately.
        pub endpoints_healthy: i64,
        pub endpoints_lost: i64,
        pub endpoints_revoked: i64,
        /// Exchanges that the ledger has recorded, ever.
        pub exchanges: i64,
        /// When that was counted.
        pub counted_at: DateTime<Utc>,
        /// Collisions of the last 30 days, by day; days without any are left out.
        pub collisions: Vec<CollisionsOfDay>,
        /// From a disconnect to an endpoint's first sign of life without the bundle,
        /// of the last 30 days, in milliseconds; none if there was none.
        pub obeyed_after_ms_median: Option<f64>,
        pub obeyed_after_ms_p99: Option<f64>,
    }

    /// How many collisions a day had.
    pub struct CollisionsOfDay { pub day: NaiveDate, pub count: i64 }
}
