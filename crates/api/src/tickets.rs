//! Reports of tickets, and what the ledger made of them.

use chrono::{DateTime, Utc};
use uuid::Uuid;

wire! {
    /// Reports of tickets, at most 1000 lanes at once.
    #[serde(deny_unknown_fields)]
    pub struct ReportTickets { pub reports: Vec<TicketReport> }

    /// A run of one lane's tickets.
    #[serde(deny_unknown_fields)]
    pub struct TicketReport {
        pub bundle_id: Uuid,
        pub lane: u32,
        /// Number of the first ticket.
        pub first: u64,
        /// Hash of the ticket before the first, 32 bytes.
        pub previous: String,
        /// For each ticket 96 bytes: digest of the share, signature.
        pub entries: String,
        /// How long ago the last of them was issued or accepted.
        pub age_ms: u64,
    }

    /// One verdict per report, in order.
    pub struct ReportedTickets { pub verdicts: Vec<ReportVerdict> }

    /// What the ledger made of one report.
    #[derive(Eq)]
    #[serde(rename_all = "kebab-case", tag = "verdict")]
    pub enum ReportVerdict {
        /// Recorded, or known already.
        Accepted,
        /// Tickets are missing before the report; send from `expected` on.
        Gap { expected: u64 },
        /// It contradicts the record: the bundle is disconnected.
        Collision,
        /// The bundle was disconnected before.
        Disconnected,
        /// Not a valid report of this endpoint; it proves nothing.
        Refused { detail: String },
    }

    /// A consumer's word that a recorded ticket is not its own.
    #[serde(deny_unknown_fields)]
    pub struct Disown { pub bundle_id: Uuid, pub lane: u32, pub n: u64 }

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
}
