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
        /// How issuers and receivers of webhooks are called; absent from earlier versions.
        pub outward: Option<Outward>,
    }

    /// How issuers and receivers of webhooks are called.
    pub struct Outward {
        /// The proxy through which they are called, without what it is shown.
        pub proxy: Option<String>,
        /// Hosts, domains and networks that are called without it.
        pub no_proxy: Option<String>,
        /// The file of authorities that are trusted besides the system's.
        pub ca_file: Option<String>,
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
