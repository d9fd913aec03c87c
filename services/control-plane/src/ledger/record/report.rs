//! What endpoints report, and what they are told.

use armour_api::ReportVerdict;
use armour_protocol::v2::ledger::{Run, SubRun};
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
    /// What is said; none if it is malformed.
    pub said: Option<Said>,
}

/// What a report says.
#[derive(Clone)]
pub enum Said {
    /// Tickets and receipts.
    Run(Run),
    /// Sub-tickets and sub-receipts.
    Line(SubRun),
}

impl Said {
    /// How many of them there are.
    pub fn bodies(&self) -> usize {
        match self {
            Self::Run(run) => run.rests.len(),
            Self::Line(run) => run.rests.len(),
        }
    }
}

/// What became of a call.
pub enum ReportOutcome {
    /// A verdict on each report, in their order.
    Verdicts(Vec<ReportVerdict>),
    /// The endpoint does not exist.
    Unknown,
    /// The endpoint's keys are no longer trusted.
    Revoked,
    /// Somebody else holds the endpoint's keys.
    Collided,
}

/// A verdict with its reason.
pub fn refused(detail: &str) -> ReportVerdict {
    ReportVerdict::Refused {
        detail: detail.to_owned(),
    }
}

/// What is said of a run that nobody can have signed.
pub const MALFORMED: &str = "the run is malformed or not signed by the bundle's ends";
