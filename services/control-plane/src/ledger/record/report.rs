//! What endpoints report, and what they are told.

use armour_api::{ReportVerdict, Role};
use armour_protocol::ticket::TicketHash;
use armour_storage::BundleRow;
use uuid::Uuid;

/// One call: what an endpoint reports.
pub struct Call {
    /// The endpoint.
    pub endpoint: Uuid,
    /// Its reports.
    pub reports: Vec<Report>,
}

/// A report as it came; none of it is believed yet.
pub struct Report {
    /// Names the bundle.
    pub bundle: Uuid,
    /// Names the lane.
    pub lane: u32,
    /// Number of the first ticket.
    pub first: u64,
    /// For how long the reporter has held it, in milliseconds.
    pub age_ms: u64,
    /// The hash before the first ticket and the entries; none if they are malformed.
    pub tickets: Option<(TicketHash, Vec<u8>)>,
}

/// What became of a call.
pub enum ReportOutcome {
    /// A verdict on each report, in their order.
    Verdicts(Vec<ReportVerdict>),
    /// The endpoint does not exist.
    Unknown,
    /// The endpoint's keys are no longer trusted.
    Revoked,
}

/// A verdict with its reason.
pub fn refused(detail: &str) -> ReportVerdict {
    ReportVerdict::Refused {
        detail: detail.to_owned(),
    }
}

/// What is said of tickets that nobody can have issued.
pub const MALFORMED: &str = "the tickets are malformed or not signed by the bundle's consumer";

/// On which side of a bundle an endpoint is.
pub fn side(bundle: &BundleRow, endpoint: Uuid) -> Option<Role> {
    match endpoint {
        me if me == bundle.consumer => Some(Role::Consumer),
        me if me == bundle.producer => Some(Role::Producer),
        _ => None,
    }
}
