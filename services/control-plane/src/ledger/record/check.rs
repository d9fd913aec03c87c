//! What can be said of a report before any lane is read.

use std::{collections::HashMap, sync::Arc};

use armour_api::{BundleState, ReportVerdict, Role};
use armour_protocol::v2::{
    body::Body,
    context::Context,
    ledger::{Exchange, Position, Run, SubExchange, SubRun},
    rekey::SubBody,
};
use armour_storage::{BundleRow, LaneId, SubWitness};
use uuid::Uuid;

use super::report::{Call, MALFORMED, Report, Said, refused};

/// The bundles that are reported of.
pub struct Known {
    /// As they stand.
    pub bundles: HashMap<Uuid, BundleRow>,
    /// What they are bound to.
    pub contexts: HashMap<Uuid, Arc<Context>>,
}

/// A report whose bodies the bundle's ends have signed.
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
    pub bodies: Bodies,
}

/// What is reported, at least one body.
pub enum Bodies {
    /// Tickets and receipts.
    Run(Box<CheckedRun>),
    /// Sub-tickets and sub-receipts of an exchange.
    Line(Box<CheckedLine>),
}

/// Tickets and receipts.
pub struct CheckedRun {
    /// As they came.
    pub run: Run,
    /// The exchanges.
    pub exchanges: Vec<Exchange>,
    /// What the first ticket names, if it is taken apart.
    pub before: Option<(Body, Option<SubBody>)>,
}

/// Sub-tickets and sub-receipts.
pub struct CheckedLine {
    /// As they came.
    pub run: SubRun,
    /// The same.
    pub exchanges: Vec<SubExchange>,
}

impl Checked {
    /// By what a lane's reports are sorted: a line comes behind its ticket, and before the
    /// ticket after it.
    pub fn key(&self) -> (LaneId, u64, u32, (usize, usize)) {
        let (n, k) = match &self.bodies {
            Bodies::Run(of) => (of.run.first, 0),
            Bodies::Line(of) => (of.run.n, of.run.first),
        };
        (self.lane, n, k, self.at)
    }
}

impl CheckedRun {
    /// The last exchange's number.
    pub fn last(&self) -> u64 {
        self.exchanges
            .last()
            .map_or(self.run.first, |last| last.ticket.header.n)
    }

    fn check(run: &Run, context: &Context) -> Option<Self> {
        let exchanges = run.verified(context).ok()?;
        // As many as the database can count.
        let last = Position::of_ticket(exchanges.last()?.ticket.header.n)?;
        i64::try_from(last.0.checked_add(2)?).ok()?;
        let before = run
            .before
            .map(|before| before.bodies(context, run.lane, run.first));
        Some(Self {
            run: run.clone(),
            exchanges,
            before: before.transpose().ok()?,
        })
    }
}

impl CheckedLine {
    /// The last sub-ticket's number.
    pub fn last(&self) -> u32 {
        let last = self.exchanges.last();
        last.map_or(self.run.first, |last| last.ticket.k)
    }

    /// What a producer's endpoint vouches for that reports it.
    pub fn witness(&self) -> SubWitness {
        SubWitness {
            n: self.run.n,
            k: self.last(),
        }
    }

    fn check(run: &SubRun, context: &Context) -> Option<Self> {
        i64::try_from(run.n.checked_mul(2)?.checked_add(2)?).ok()?;
        Some(Self {
            exchanges: run.verified(context).ok()?,
            run: run.clone(),
        })
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
        let (lane, bodies) = match report.said.as_ref()? {
            Said::Run(run) => (
                run.lane,
                Bodies::Run(Box::new(CheckedRun::check(run, &context)?)),
            ),
            Said::Line(run) => (
                run.lane,
                Bodies::Line(Box::new(CheckedLine::check(run, &context)?)),
            ),
        };
        Some(Checked {
            at: (at, place),
            reporter: call.endpoint,
            side,
            lane: (report.bundle, lane),
            context,
            bodies,
        })
    });
    checked.collect()
}
