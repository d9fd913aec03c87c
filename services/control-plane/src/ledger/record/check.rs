//! What can be said of a report before any lane is read.

use std::{collections::HashMap, sync::Arc};

use armour_api::{BundleState, ReportVerdict, Role};
use armour_protocol::v2::{
    context::Context,
    ledger::{Exchange, Position, Run},
};
use armour_storage::{BundleRow, LaneId};
use uuid::Uuid;

use super::report::{Call, MALFORMED, Report, refused};

/// The bundles that are reported of.
pub struct Known {
    /// As they stand.
    pub bundles: HashMap<Uuid, BundleRow>,
    /// What they are bound to.
    pub contexts: HashMap<Uuid, Arc<Context>>,
}

/// A report whose run the bundle's ends have signed.
pub struct Checked {
    /// Which call's, and which of its reports.
    pub at: (usize, usize),
    /// The endpoint that reports.
    pub reporter: Uuid,
    /// On which side it is.
    pub side: Role,
    /// The lane.
    pub lane: LaneId,
    /// What the bundle is bound to.
    pub context: Arc<Context>,
    /// What is reported.
    pub run: Run,
    /// Its exchanges, at least one.
    pub exchanges: Vec<Exchange>,
}

impl Checked {
    /// The last exchange's number.
    pub fn last(&self) -> u64 {
        self.exchanges
            .last()
            .map_or(self.run.first, |last| last.ticket.header.n)
    }
}

/// What is said of a report of which nothing better can be said.
pub fn refuse(me: Uuid, report: &Report, known: &Known) -> ReportVerdict {
    match known.bundles.get(&report.bundle) {
        Some(bundle) if bundle.side(me).is_none() => refused("no such bundle"),
        Some(bundle) if bundle.state == BundleState::Disconnected => ReportVerdict::Disconnected,
        Some(_) => refused(MALFORMED),
        None => refused("no such bundle"),
    }
}

/// The reports of a call that can be judged.
pub fn check(at: usize, call: &Call, known: &Known) -> Vec<Checked> {
    let reports = call.reports.iter().enumerate();
    let checked = reports.filter_map(|(place, report)| {
        let bundle = known.bundles.get(&report.bundle)?;
        let context = known.contexts.get(&report.bundle)?.clone();
        let side = bundle.side(call.endpoint)?;
        if bundle.state == BundleState::Disconnected {
            return None;
        }
        let run = report.run.clone()?;
        let exchanges = run.verified(&context).ok()?;
        // As many as the database can count.
        let last = Position::of_ticket(exchanges.last()?.ticket.header.n)?;
        i64::try_from(last.0.checked_add(2)?).ok()?;
        Some(Checked {
            at: (at, place),
            reporter: call.endpoint,
            side,
            lane: (report.bundle, run.lane),
            context,
            run,
            exchanges,
        })
    });
    checked.collect()
}
