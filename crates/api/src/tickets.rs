//! Reports of exchanges, and what the ledger made of them.

use chrono::{DateTime, Utc};
use uuid::Uuid;

wire! {
    /// Reports of exchanges, at most 1000 lanes at once.
    #[serde(deny_unknown_fields)]
    pub struct ReportExchanges { pub reports: Vec<LaneReport> }

    /// A run of one lane's tickets and receipts, without holes.
    #[serde(deny_unknown_fields)]
    pub struct LaneReport {
        pub bundle_id: Uuid,
        pub lane: u16,
        /// Number of the first exchange.
        pub first: u64,
        /// What the first ticket names, 32 bytes.
        pub previous: String,
        /// The rest hash of each ticket and receipt in turn, 32 bytes each.
        pub rests: String,
        /// Proof of the last ticket.
        pub ticket: String,
        /// Proof of the last receipt, if there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub receipt: Option<String>,
    }

    /// A receipt that the ledger asked a consumer to show: body and proof.
    #[serde(deny_unknown_fields)]
    pub struct ShowReceipt { pub bundle_id: Uuid, pub receipt: String }

    /// One verdict per report, in order.
    pub struct ReportedExchanges { pub verdicts: Vec<ReportVerdict> }

    /// What the ledger made of one report.
    #[derive(Eq)]
    #[serde(rename_all = "kebab-case", tag = "verdict")]
    pub enum ReportVerdict {
        /// Recorded, or known already.
        Accepted,
        /// Exchanges are missing before the report; send from `expected` on.
        Gap { expected: u64 },
        /// It contradicts the record: the bundle is disconnected.
        Collision,
        /// Two receipts are named for exchange `n`: show the one that was taken.
        ShowReceipt { n: u64 },
        /// The bundle was disconnected before.
        Disconnected,
        /// Not a valid report of this endpoint; it proves nothing.
        Refused { detail: String },
    }

    /// A ticket as the ledger has it, and its receipt.
    pub struct RecordedTicket {
        pub lane: u32,
        pub n: u64,
        /// H of the ticket's body, hexadecimal.
        pub hash: String,
        /// What the ticket names, hexadecimal: the receipt before or, for the first, the
        /// lane's opening.
        pub previous: String,
        /// H of its receipt's body, hexadecimal, once it is recorded.
        pub receipt: Option<String>,
        /// What the next ticket names, hexadecimal, once the receipt is recorded.
        pub next: Option<String>,
        /// The endpoint whose report recorded it first, and when.
        pub reporter_id: Uuid,
        /// Whether either end's report vouches for it.
        pub consumer_reported: bool,
        pub producer_reported: bool,
        pub recorded_at: DateTime<Utc>,
    }
}
