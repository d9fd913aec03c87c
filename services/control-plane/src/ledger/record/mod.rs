//! Recording reports: those of many calls in one transaction, each judged as if it
//! had come alone.

mod batch;
mod check;
mod line;
mod report;
mod round;

pub use batch::Ledger;
pub use report::{Call, Report, ReportOutcome, Said};
