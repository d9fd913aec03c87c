//! Judging reports against the lanes as they are, and advancing these.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use armour_api::{BundleState, CollisionKind, ReportVerdict, Role};
use armour_protocol::v2::{
    body::{Body, BodyHash, Kind},
    context::Context,
    enclave::LaneMark,
    ledger::{Exchange, LineVerdict, Position, Testimony, Verdict, compare, compare_line, in_turn},
    message::Evidence,
    rekey::SubKind,
};
use armour_storage::{
    BundleRow, Dispute, LaneAdvance, LaneId, LaneState, LineAdvance, MAX_STORED, RetirementMarks,
    RunRow, StorageError, StoredRuns, SubRange, TicketRange, Tx, Witnessed,
};
use uuid::Uuid;

use super::{
    check::{Bodies, Checked, CheckedLine, CheckedRun},
    line::{self, Lines},
    report::refused,
};
use crate::http::problem::{ApiError, ApiResult};

/// Another replica may open a lane at the same time, or a bundle be disconnected;
/// then its reports are judged again. More often than this it cannot be chance.
const MAX_ROUNDS: usize = 16;
/// How many bodies are hashed at once where other calls wait meanwhile.
const MANY_BODIES: usize = 1_024;

/// Judges reports until no other replica has changed their lanes meanwhile.
pub struct Round<'a> {
    tx: &'a mut Tx,
    bundles: HashMap<Uuid, BundleRow>,
    /// How far the lanes came that are reported of, if their bundles are retired: by the word of
    /// either side.
    retired: RetirementMarks,
    recorded: Recorded,
}

/// What became of the reports.
pub struct Recorded {
    /// Verdicts: which call's, on which of its reports.
    pub judged: Vec<(usize, usize, ReportVerdict)>,
    /// Collisions that are to be recorded.
    pub found: Vec<Finding>,
    /// Receipts that are named and nobody's yet.
    pub disputes: Vec<Dispute>,
    /// Whether any lane is longer than before.
    pub advanced_any: bool,
}

/// A contradiction between the record and a report.
pub struct Finding {
    /// The bundle.
    pub bundle: BundleRow,
    /// What it is.
    pub kind: CollisionKind,
    /// Which end was copied.
    pub role: Role,
    /// What the bundle is bound to.
    pub context: Arc<Context>,
    /// The lane.
    pub lane: u16,
    /// The exchange.
    pub n: u64,
    /// The sub-ticket of it; 0 if it is of the exchange itself.
    pub k: u32,
    /// What was reported.
    pub reported: Testimony,
    /// Who reported it.
    pub reporter: Uuid,
}

impl<'a> Round<'a> {
    /// Begins with the bundles as they were read.
    pub fn new(tx: &'a mut Tx, bundles: HashMap<Uuid, BundleRow>) -> Self {
        Self {
            retired: RetirementMarks::new(),
            tx,
            bundles,
            recorded: Recorded {
                judged: Vec::new(),
                found: Vec::new(),
                disputes: Vec::new(),
                advanced_any: false,
            },
        }
    }

    /// What became of them.
    pub fn finish(self) -> Recorded {
        self.recorded
    }

    /// Judges reports and records what is new.
    ///
    /// # Errors
    /// If the database refuses, or a lane was outrun again and again.
    pub async fn record(&mut self, mut pending: Vec<Checked>) -> ApiResult<()> {
        for _ in 0..MAX_ROUNDS {
            if pending.is_empty() {
                return Ok(());
            }
            pending = self.attempt(pending).await?;
            if !pending.is_empty() {
                let mut ids: Vec<Uuid> = pending.iter().map(|report| report.lane.0).collect();
                ids.dedup();
                self.bundles = self.tx.bundles().find_many(&ids).await?;
            }
        }
        Err(ApiError::internal("a lane was outrun again and again"))
    }

    /// Judges reports and records what is new; returns those whose lanes others have
    /// changed meanwhile.
    async fn attempt(&mut self, mut pending: Vec<Checked>) -> ApiResult<Vec<Checked>> {
        pending.sort_by_key(Checked::key);
        let mut lanes = self.read(&pending).await?;
        for report in pending {
            let id = report.lane;
            let mut lane = lanes.remove(&id).unwrap_or_default();
            self.judge(&mut lane, report);
            lanes.insert(id, lane);
        }
        let mut steps = Vec::new();
        let mut seen = Vec::new();
        for (id, lane) in &mut lanes {
            match &lane.state {
                Some(state) if !lane.runs.is_empty() => steps.push(LaneAdvance {
                    lane: *id,
                    from: lane.stored,
                    to: state.clone(),
                    witnessed: lane.witnessed,
                    runs: std::mem::take(&mut lane.runs),
                }),
                _ if lane.witnessed != Witnessed::default() => seen.push((*id, lane.witnessed)),
                _ => {}
            }
        }
        if !seen.is_empty() {
            self.tx.lanes().witness(&seen).await?;
        }
        let mut again = Vec::new();
        if !steps.is_empty() {
            let advanced = self.tx.lanes().advance(&steps).await?;
            self.recorded.advanced_any |= !advanced.is_empty();
            for step in steps {
                if !advanced.contains(&step.lane)
                    && let Some(lane) = lanes.get_mut(&step.lane)
                {
                    again.append(&mut lane.accepted);
                }
            }
        }
        // The lines of those that others have changed are judged again with them.
        let lost: HashSet<LaneId> = again.iter().map(|report| report.lane).collect();
        let mut seen = Vec::new();
        let mut lines: Vec<LineAdvance> = Vec::new();
        for (id, lane) in lanes.iter_mut().filter(|(id, _)| !lost.contains(id)) {
            seen.extend(lane.lines.witnessed().map(|seen| (*id, seen)));
            lines.extend(lane.lines.advance(*id));
        }
        if !seen.is_empty() {
            self.tx.sub_tickets().witness(&seen).await?;
        }
        if !lines.is_empty() {
            let advanced = self.tx.sub_tickets().advance(&lines).await?;
            self.recorded.advanced_any |= !advanced.is_empty();
            for step in &lines {
                if !advanced.contains(&step.lane)
                    && let Some(lane) = lanes.get_mut(&step.lane)
                {
                    again.append(&mut lane.accepted);
                }
            }
        }
        for report in lanes.into_values().flat_map(|lane| lane.accepted) {
            self.say(report.at, ReportVerdict::Accepted);
        }
        Ok(again)
    }

    /// The lanes that are reported of, locked.
    async fn read(&mut self, pending: &[Checked]) -> ApiResult<BTreeMap<LaneId, Lane>> {
        let mut ids: Vec<LaneId> = pending.iter().map(|report| report.lane).collect();
        ids.dedup();
        let states = self.tx.lanes().lock(&ids).await?;
        let retired = |lane: &&LaneId| {
            let bundle = self.bundles.get(&lane.0);
            bundle.is_some_and(|bundle| bundle.consumer_retired || bundle.producer_retired)
        };
        let retired: Vec<LaneId> = ids.iter().filter(retired).copied().collect();
        if !retired.is_empty() {
            // What was retired by the time that its bundle was read is judged by its list.
            self.retired = self.tx.bundle_retirements().find_many(&retired).await?;
        }
        let mut lanes = BTreeMap::new();
        // A range for each report, which together are no longer than what is reported; they are
        // in order. Reports far apart on one lane do not have read what is between them.
        let mut ranges: Vec<TicketRange> = Vec::new();
        let mut contexts: Vec<Arc<Context>> = Vec::new();
        let mut of_lines: Vec<(SubRange, Arc<Context>)> = Vec::new();
        for report in pending {
            let Some(state) = states.get(&report.lane) else {
                continue;
            };
            let head = state.last.n();
            lanes.entry(report.lane).or_insert_with(|| Lane {
                stored: Some(state.last),
                recorded: vec![last_exchange(state)],
                lines: Lines::of(state.line.as_ref()),
                state: Some(state.clone()),
                ..Lane::default()
            });
            let of_line = line::needed(report, head, state.line.as_ref());
            of_lines.extend(of_line.map(|range| (range, report.context.clone())));
            let (first, last) = match &report.bodies {
                Bodies::Run(of) => (of.run.first, of.last()),
                // Its ticket alone.
                Bodies::Line(of) => (of.run.n.saturating_add(1), of.run.n),
            };
            // What follows the head needs no more than the head to compare with.
            if first > head {
                continue;
            }
            let low = first.saturating_sub(1);
            let high = last.min(head);
            match ranges.last_mut() {
                Some(before) if before.lane == report.lane && low <= before.high => {
                    before.high = before.high.max(high);
                }
                _ => {
                    ranges.push(TicketRange {
                        lane: report.lane,
                        low,
                        high,
                    });
                    contexts.push(report.context.clone());
                }
            }
        }
        if !ranges.is_empty() {
            let stored = self.tx.tickets().find_ranges(&ranges).await?;
            for (id, exchanges) in hashed(stored, contexts).await? {
                let lane: &mut Lane = lanes.entry(id).or_default();
                lane.recorded.extend(exchanges);
            }
            for lane in lanes.values_mut() {
                lane.recorded.sort_by_key(|one| one.ticket.header.n);
                lane.recorded.dedup_by_key(|one| one.ticket.header.n);
            }
        }
        if !of_lines.is_empty() {
            let ranges: Vec<(SubRange, &Context)> = of_lines
                .iter()
                .map(|(range, context)| (*range, &**context))
                .collect();
            let found = self.tx.sub_tickets().find_ranges(&ranges).await?;
            for ((range, _), exchanges) in of_lines.iter().zip(found) {
                lanes.entry(range.lane).or_default().lines.know(exchanges);
            }
        }
        Ok(lanes)
    }

    fn judge(&mut self, lane: &mut Lane, report: Checked) {
        let Some(bundle) = self.bundles.get(&report.lane.0).cloned() else {
            self.say(report.at, refused("no such bundle"));
            return;
        };
        if bundle.state == BundleState::Disconnected {
            self.say(report.at, ReportVerdict::Disconnected);
            return;
        }
        let Checked {
            at,
            reporter,
            side,
            lane: id,
            context,
            bodies,
        } = report;
        let report = Judged {
            at,
            reporter,
            side,
            lane: id,
            context,
        };
        match bodies {
            Bodies::Run(run) => self.judge_run(lane, bundle, report, run),
            Bodies::Line(line) => self.judge_line(lane, bundle, report, line),
        }
    }

    fn judge_run(
        &mut self,
        lane: &mut Lane,
        bundle: BundleRow,
        report: Judged,
        of: Box<CheckedRun>,
    ) {
        let receipt = of.before.as_ref().map(|(receipt, _)| receipt);
        let (n, k, found) = match compare(lane.around(&of), receipt, &of.exchanges) {
            Verdict::Known => {
                lane.witnessed.record(report.side, of.last());
                return lane.accepted.push(report.again(Bodies::Run(of)));
            }
            Verdict::Gap { expected } => {
                return self.say(report.at, ReportVerdict::Gap { expected, k: 0 });
            }
            Verdict::ConsumerClone { n } => (n, 0, Some((CollisionKind::Fork, Role::Consumer))),
            Verdict::ProducerClone { n } => {
                (n, 0, Some((CollisionKind::ProducerClone, Role::Producer)))
            }
            Verdict::ForeignReceipt { n } => (n, 0, None),
            Verdict::Extends { from } => match lane.end_of_line(&of) {
                LineVerdict::Gap { expected: k } => {
                    let expected = lane.head();
                    return self.say(report.at, ReportVerdict::Gap { expected, k });
                }
                LineVerdict::ConsumerClone { k } => {
                    (lane.head(), k, Some((CollisionKind::Fork, Role::Consumer)))
                }
                LineVerdict::ForeignReceipt { k } => (lane.head(), k, None),
                _ => match self.beyond_retirement(&bundle, &of, from) {
                    Some((side, n)) => (n, 0, Some((CollisionKind::AfterRetirement, side))),
                    None => return lane.extend(report, of, from),
                },
            },
        };
        let cut = of.run.from_exchange(&report.context, n);
        let reported = Testimony::Within(cut.unwrap_or_else(|| of.run.clone()));
        match found {
            Some((kind, role)) => self.find(bundle, report, (kind, role), (n, k), reported),
            None => self.ask(report, (n, k), Testimony::Within(of.run)),
        }
    }

    fn judge_line(
        &mut self,
        lane: &mut Lane,
        bundle: BundleRow,
        report: Judged,
        of: Box<CheckedLine>,
    ) {
        let n = of.run.n;
        let Some(ticket) = lane.ticket(n) else {
            let expected = lane.expected();
            return self.say(report.at, ReportVerdict::Gap { expected, k: 0 });
        };
        let is_closed = lane.head() > n;
        let recorded = lane.lines.around(n, of.run.first, of.last());
        let (k, found) = match compare_line(ticket, &recorded, is_closed, &of.exchanges) {
            LineVerdict::Known => {
                lane.lines.record(report.side, of.witness());
                return lane.accepted.push(report.again(Bodies::Line(of)));
            }
            LineVerdict::Gap { expected: k } => {
                return self.say(report.at, ReportVerdict::Gap { expected: n, k });
            }
            LineVerdict::ConsumerClone { k } => (k, Some((CollisionKind::Fork, Role::Consumer))),
            LineVerdict::ProducerClone { k } => {
                (k, Some((CollisionKind::ProducerClone, Role::Producer)))
            }
            LineVerdict::ForeignReceipt { k } => (k, None),
            LineVerdict::Extends { from } => match self.line_beyond(&bundle, &of, from) {
                Some((side, k)) => (k, Some((CollisionKind::AfterRetirement, side))),
                None => {
                    lane.lines.extend(report.reporter, &of, from);
                    lane.lines.record(report.side, of.witness());
                    return lane.accepted.push(report.again(Bodies::Line(of)));
                }
            },
        };
        let cut = of.run.from_sub_ticket(&report.context, k);
        let reported = Testimony::SubWithin(cut.unwrap_or_else(|| of.run.clone()));
        match found {
            Some((kind, role)) => self.find(bundle, report, (kind, role), (n, k), reported),
            None => self.ask(report, (n, k), Testimony::SubWithin(of.run)),
        }
    }

    /// The first new ticket or receipt that is not in the list of lanes with which its side
    /// has retired the bundle: whose it is, and its number.
    fn beyond_retirement(
        &self,
        bundle: &BundleRow,
        of: &CheckedRun,
        from: usize,
    ) -> Option<(Role, u64)> {
        let new = of.exchanges.get(from..)?.iter();
        let mut signed = new.flat_map(|one| {
            let receipt = one.receipt.map(|receipt| (Role::Producer, receipt));
            std::iter::once((Role::Consumer, one.ticket)).chain(receipt)
        });
        let beyond = signed.find(|(side, body)| self.is_beyond(bundle, *side, &LaneMark::of(body)));
        beyond.map(|(side, body)| (side, body.header.n))
    }

    /// The same of sub-tickets and sub-receipts.
    fn line_beyond(
        &self,
        bundle: &BundleRow,
        of: &CheckedLine,
        from: usize,
    ) -> Option<(Role, u32)> {
        let mut signed = in_turn(of.exchanges.get(from..)?).map(|body| match body.kind {
            SubKind::Ticket => (Role::Consumer, body),
            SubKind::Receipt => (Role::Producer, body),
        });
        let beyond =
            signed.find(|(side, body)| self.is_beyond(bundle, *side, &LaneMark::of_sub(body)));
        beyond.map(|(side, body)| (side, body.k))
    }

    fn is_beyond(&self, bundle: &BundleRow, side: Role, head: &LaneMark) -> bool {
        let listed = self.retired.get(&(bundle.id, side, head.lane));
        bundle.is_retired(side) && listed.is_none_or(|marks| !LaneMark::own_among(marks, head))
    }

    /// Another receipt is named than the recorded one. Its consumer can show whose it is.
    fn ask(&mut self, report: Judged, (n, k): (u64, u32), said: Testimony) {
        self.recorded.disputes.push(Dispute {
            lane: report.lane,
            n,
            k,
            run: said.to_bytes(),
            by: report.reporter,
        });
        let verdict = match report.side {
            Role::Consumer => ReportVerdict::ShowReceipt { n, k },
            // It has said what it knows.
            Role::Producer => ReportVerdict::Accepted,
        };
        self.say(report.at, verdict);
    }

    fn find(
        &mut self,
        bundle: BundleRow,
        report: Judged,
        (kind, role): (CollisionKind, Role),
        (n, k): (u64, u32),
        reported: Testimony,
    ) {
        self.say(report.at, ReportVerdict::Collision);
        self.recorded.found.push(Finding {
            bundle,
            kind,
            role,
            context: report.context,
            lane: report.lane.1,
            n,
            k,
            reported,
            reporter: report.reporter,
        });
    }

    fn say(&mut self, (call, place): (usize, usize), verdict: ReportVerdict) {
        self.recorded.judged.push((call, place, verdict));
    }
}

/// A report that is being judged, without what it reports.
struct Judged {
    at: (usize, usize),
    reporter: Uuid,
    side: Role,
    lane: LaneId,
    context: Arc<Context>,
}

impl Judged {
    /// The report as it came.
    fn again(self, bodies: Bodies) -> Checked {
        Checked {
            at: self.at,
            reporter: self.reporter,
            side: self.side,
            lane: self.lane,
            context: self.context,
            bodies,
        }
    }
}

/// A lane as it is after what was judged so far.
#[derive(Default)]
struct Lane {
    /// As the database has it.
    stored: Option<Position>,
    /// Around what is reported, in order of their numbers; what is between is left out.
    recorded: Vec<Exchange>,
    state: Option<LaneState>,
    lines: Lines,
    witnessed: Witnessed,
    runs: Vec<(RunRow, Uuid)>,
    /// Reports that were accepted on condition that the lane advances.
    accepted: Vec<Checked>,
}

impl Lane {
    /// The last recorded exchange's number; 0 if there is none.
    fn head(&self) -> u64 {
        self.state.as_ref().map_or(0, |state| state.last.n())
    }

    /// The exchange that is needed next: the last one again while its receipt is missing.
    fn expected(&self) -> u64 {
        self.state
            .as_ref()
            .map_or(0, |state| match state.last.kind() {
                Kind::Receipt => state.last.n().saturating_add(1),
                _ => state.last.n(),
            })
    }

    /// H of ticket n, if it is recorded and was read.
    fn ticket(&self, n: u64) -> Option<BodyHash> {
        let at = self
            .recorded
            .binary_search_by_key(&n, |one| one.ticket.header.n);
        let one = self.recorded.get(at.ok()?)?;
        Some(one.ticket.hash())
    }

    /// What the ticket after the last recorded exchange names of that exchange's line, if it is
    /// among the new.
    fn end_of_line(&self, of: &CheckedRun) -> LineVerdict {
        let Some(state) = &self.state else {
            return LineVerdict::Known;
        };
        let head = state.last.n();
        let Some(next) = head.checked_add(1).filter(|next| of.last() >= *next) else {
            return LineVerdict::Known;
        };
        let named = of.before.as_ref().filter(|_| of.run.first == next);
        let named = named.and_then(|(_, last)| last.as_ref());
        self.lines.ends_with(head, named)
    }

    /// What [`compare`] needs for a report: from the exchange before its first on as far as
    /// there is no hole, or the last.
    fn around(&self, report: &CheckedRun) -> &[Exchange] {
        let low = report.run.first.saturating_sub(1);
        let n = |one: &Exchange| one.ticket.header.n;
        let from = self.recorded.partition_point(|one| n(one) < low);
        let after = self.recorded.get(from..).unwrap_or_default();
        let Some(first) = after.first() else {
            let last = self.recorded.len().saturating_sub(1);
            return self.recorded.get(last..).unwrap_or_default();
        };
        // Numbers ascend, so they are further apart than places from the first hole on.
        let whole = after
            .iter()
            .take(report.exchanges.len() + 2)
            .enumerate()
            .take_while(|(at, one)| n(one) - n(first) == *at as u64);
        after.get(..whole.count()).unwrap_or_default()
    }

    /// Takes what is new of a run, from this exchange of it on.
    fn extend(&mut self, report: Judged, of: Box<CheckedRun>, from: usize) {
        let Some(first) = of.exchanges.get(from) else {
            return;
        };
        let has_ticket = self.place(first).is_ok();
        // Of the first one the ticket may be recorded, and the receipt be new.
        let skip = 2 * from + usize::from(has_ticket);
        let Some(new) = stored(&of, skip) else {
            return;
        };
        let (Some(first), Some(last)) = (new.first(), new.last()) else {
            return;
        };
        self.advance(&of, first.first, last.last());
        let by = report.reporter;
        self.runs.extend(new.into_iter().map(|run| (run, by)));
        for new in &of.exchanges[from..] {
            match self.place(new) {
                Ok(at) => self.recorded[at].receipt = new.receipt,
                Err(at) => self.recorded.insert(at, *new),
            }
        }
        self.witnessed.record(report.side, of.last());
        self.accepted.push(report.again(Bodies::Run(of)));
    }

    /// Where an exchange of this number is, or would be.
    fn place(&self, one: &Exchange) -> Result<usize, usize> {
        let n = one.ticket.header.n;
        self.recorded
            .binary_search_by_key(&n, |one| one.ticket.header.n)
    }

    fn advance(&mut self, report: &CheckedRun, first: Position, last: Position) {
        let places = || (first.0..=last.0).map(Position);
        let has = |kind: Kind| places().any(|place| place.kind() == kind);
        let ticket = report.exchanges.last().map(|last| Evidence {
            body: last.ticket,
            proof: report.run.ticket.clone(),
        });
        let mut receipts = report.exchanges.iter().rev().filter_map(|one| one.receipt);
        let receipt = receipts.next().zip(report.run.receipt.clone());
        let receipt = receipt.map(|(body, proof)| Evidence { body, proof });
        let (before_ticket, before_receipt, line) = match self.state.take() {
            Some(state) => (Some(state.ticket), state.receipt, state.line),
            None => (None, None, None),
        };
        let ticket = match has(Kind::Ticket) {
            true => ticket,
            false => before_ticket,
        };
        let receipt = match has(Kind::Receipt) {
            true => receipt,
            false => before_receipt,
        };
        self.state = ticket.map(|ticket| LaneState {
            last,
            ticket,
            receipt,
            line,
        });
    }
}

/// The tickets and receipts of a report from this one on, as they are stored: in parts, each of
/// which can be read without the others. Its two proofs are kept with the bodies that they are of.
fn stored(report: &CheckedRun, skip: usize) -> Option<Vec<RunRow>> {
    let (run, start) = (&report.run, Position::of_ticket(report.run.first)?);
    let bodies = report.exchanges.iter();
    let bodies = bodies.flat_map(|one| [Some(one.ticket), one.receipt]);
    let bodies: Vec<Body> = bodies.flatten().collect();
    let last = |kind: Kind| bodies.iter().rposition(|body| body.header.kind == kind);
    let (ticket, receipt) = (last(Kind::Ticket), last(Kind::Receipt));
    let parts = run.rests.get(skip..)?.chunks(MAX_STORED).enumerate();
    parts
        .map(|(at, rests)| {
            let from = skip + at * MAX_STORED;
            let holds = |place: Option<usize>| {
                place.is_some_and(|place| (from..from + rests.len()).contains(&place))
            };
            Some(RunRow {
                first: Position(start.0 + from as u64),
                previous: bodies.get(from)?.previous,
                rests: rests.to_vec(),
                ticket: holds(ticket).then(|| run.ticket.clone()),
                receipt: run.receipt.clone().filter(|_| holds(receipt)),
            })
        })
        .collect()
}

/// What is recorded in ranges, each of its lane; of many bodies where hashing them keeps nobody
/// else waiting.
async fn hashed(
    stored: Vec<StoredRuns>,
    contexts: Vec<Arc<Context>>,
) -> ApiResult<Vec<(LaneId, Vec<Exchange>)>> {
    let bodies: usize = stored.iter().map(StoredRuns::bodies).sum();
    let hash = move || {
        let ranges = stored.iter().zip(&contexts);
        let ranges = ranges.map(|(runs, context)| Ok((runs.range.lane, runs.exchanges(context)?)));
        ranges.collect::<Result<Vec<_>, StorageError>>()
    };
    let hashed = match bodies > MANY_BODIES {
        true => tokio::task::spawn_blocking(hash)
            .await
            .map_err(ApiError::internal)?,
        false => hash(),
    };
    Ok(hashed?)
}

/// The last exchange of a lane.
fn last_exchange(state: &LaneState) -> Exchange {
    let n = state.ticket.body.header.n;
    let receipt = state.receipt.as_ref().map(|receipt| receipt.body);
    Exchange {
        ticket: state.ticket.body,
        receipt: receipt.filter(|receipt| receipt.header.n == n),
    }
}
