//! Reports of exchanges, and what the ledger made of them.

use chrono::{DateTime, Utc};
use uuid::Uuid;

wire! {
    /// Reports of exchanges, at most 1000 lanes at once.
    #[serde(deny_unknown_fields)]
    pub struct ReportExchanges { pub reports: Vec<LaneReport> }

    /// A run of one lane's tickets and receipts, without holes; or, with `exchange`, of the
    /// sub-tickets and sub-receipts by which the streams of that exchange re-keyed. A run of
    /// tickets does not go on over such an exchange: the next one begins with the ticket after
    /// it, and says what that names.
    #[serde(deny_unknown_fields)]
    pub struct LaneReport {
        pub bundle_id: Uuid,
        pub lane: u16,
        /// The exchange whose sub-tickets are reported.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub exchange: Option<u64>,
        /// Number of the first exchange, or sub-ticket.
        pub first: u64,
        /// What the first ticket names, 32 bytes.
        pub previous: String,
        /// The same, taken apart: of the receipt before, what it names and its rest hash; and of
        /// that exchange's last sub-receipt, if there is one, its number, what it names and its
        /// rest hash: 64 or 132 bytes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub before: Option<String>,
        /// The rest hash of each ticket and receipt in turn, 32 bytes each.
        pub rests: String,
        /// Proof of the last ticket.
        pub ticket: String,
        /// Proof of the last receipt, if there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub receipt: Option<String>,
    }

    /// A receipt or sub-receipt that the ledger asked a consumer to show: body and proof.
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
        /// Exchanges are missing before the report; send from `expected` on. If `k` is not 0,
        /// sub-tickets of that exchange are, from `k` on.
        Gap {
            expected: u64,
            #[serde(default)]
            k: u32,
        },
        /// It contradicts the record: the bundle is disconnected.
        Collision,
        /// Two receipts are named for exchange `n`: show the one that was taken. If `k` is not
        /// 0, two sub-receipts of that number are.
        ShowReceipt {
            n: u64,
            #[serde(default)]
            k: u32,
        },
        /// The bundle was disconnected before.
        Disconnected,
        /// Not a valid report of this endpoint; it proves nothing.
        Refused { detail: String },
    }

    /// A sub-ticket as the ledger has it, and its sub-receipt.
    pub struct RecordedSubTicket {
        pub lane: u32,
        /// The exchange.
        pub n: u64,
        /// The sub-ticket's number, from 1.
        pub k: u32,
        /// H of the sub-ticket's body, hexadecimal.
        pub hash: String,
        /// What it names, hexadecimal: the exchange's ticket, or the sub-receipt before.
        pub previous: String,
        /// H of its sub-receipt's body, hexadecimal, once it is recorded.
        pub receipt: Option<String>,
        /// The endpoint whose report recorded it first, and when.
        pub reporter_id: Uuid,
        pub recorded_at: DateTime<Utc>,
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
        /// What the next ticket names, hexadecimal, once the receipt is recorded; if the streams
        /// of the exchange re-keyed, once that ticket is.
        pub next: Option<String>,
        /// The endpoint whose report recorded it first, and when.
        pub reporter_id: Uuid,
        /// Whether either end's report vouches for it.
        pub consumer_reported: bool,
        pub producer_reported: bool,
        pub recorded_at: DateTime<Utc>,
    }
}
