//! The service itself.

use chrono::{DateTime, Utc};
use uuid::Uuid;

wire! {
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

    /// A running control plane.
    pub struct Replica {
        pub id: Uuid,
        pub version: String,
        pub started_at: DateTime<Utc>,
        pub seen_at: DateTime<Utc>,
    }

    /// A health answer.
    pub struct Health { pub status: String, pub version: String }
}
