//! What people watch: the tenant at a glance, a lane's tickets, the service itself.

#[cfg(feature = "openapi")]
use utoipa::ToSchema;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

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

    /// A ticket as the ledger has it.
    pub struct RecordedTicket {
        pub lane: u32,
        pub n: u64,
        /// SHA-256 of the ticket, hexadecimal.
        pub hash: String,
        /// SHA-256 of the ticket before, hexadecimal; zeros for the first.
        pub previous: String,
        /// The endpoint whose report recorded it first, and when; unknown of old ones.
        pub reporter_id: Option<Uuid>,
        /// Whether either end's report vouches for it.
        pub consumer_reported: bool,
        pub producer_reported: bool,
        pub recorded_at: Option<DateTime<Utc>>,
    }

    /// When an endpoint obeyed a disconnect.
    pub struct Obedience { pub endpoint_id: Uuid, pub obeyed_at: DateTime<Utc> }

    /// A running control plane.
    pub struct Replica {
        pub id: Uuid,
        pub version: String,
        pub started_at: DateTime<Utc>,
        pub seen_at: DateTime<Utc>,
    }

    /// The service itself.
    pub struct System {
        /// Heard of in the last minute.
        pub replicas: Vec<Replica>,
        pub database_version: String,
        /// Size of the database, in bytes.
        pub database_bytes: i64,
        /// Numbers of the migrations that have been applied.
        pub migrations: Vec<i64>,
        pub tenants: i64,
        /// Tenants with webhook deliveries that are due, and since when.
        pub tenants_waiting: i64,
        pub waiting_since: Option<DateTime<Utc>>,
    }
}
