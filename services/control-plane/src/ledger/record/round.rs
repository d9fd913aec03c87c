//! Judging reports against the lanes as they are, and advancing these.

use std::collections::{BTreeMap, HashMap};

use armour_api::{BundleState, CollisionKind, ReportVerdict};
use armour_protocol::{
    ledger::{Chain, ENTRY_LEN, Verdict, judge},
    ticket::SignedTicket,
};
use armour_storage::{BundleRow, LaneAdvance, LaneId, TicketRange, Tx, Witnessed};
use chrono::Duration;
use uuid::Uuid;

use super::{
    check::Checked,
    report::{MALFORMED, refused},
};
use crate::{
    http::problem::{ApiError, ApiResult},
    ledger::collision::Found,
};

/// Another replica may open a lane at the same time, or a bundle be disconnected;
/// then its reports are judged again. More often than this it cannot be chance.
const MAX_ROUNDS: usize = 16;

/// Judges reports until no other replica has changed their lanes meanwhile.
pub struct Round<'a> {
    tx: &'a mut Tx,
    bundles: HashMap<Uuid, BundleRow>,
    graces: HashMap<Uuid, u32>,
    recorded: Recorded,
}

/// What became of the reports.
pub struct Recorded {
    /// Verdicts: which call's, on which of its reports.
    pub judged: Vec<(usize, usize, ReportVerdict)>,
    /// Collisions that are to be recorded.
    pub found: Vec<Found>,
    /// Whether any lane is longer than before.
    pub advanced_any: bool,
}

impl<'a> Round<'a> {
    /// Begins with the bundles as they were read, locked.
    pub fn new(tx: &'a mut Tx, bundles: HashMap<Uuid, BundleRow>) -> Self {
        Self {
            tx,
            bundles,
            graces: HashMap::new(),
            recorded: Recorded {
                judged: Vec::new(),
                found: Vec::new(),
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
        pending.sort_by_key(|report| (report.lane, report.chain.first, report.at));
        let mut lanes = self.read(&pending).await?;
        for report in pending {
            let id = report.lane;
            let mut lane = lanes.remove(&id).unwrap_or_default();
            self.judge(&mut lane, report).await?;
            lanes.insert(id, lane);
        }
        let mut steps = Vec::new();
        let mut seen = Vec::new();
        for (id, lane) in &mut lanes {
            match lane.head {
                Some(head) if !lane.runs.is_empty() => steps.push(LaneAdvance {
                    lane: *id,
                    from: lane.stored,
                    to: head,
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
        for report in lanes.into_values().flat_map(|lane| lane.accepted) {
            self.say(&report, ReportVerdict::Accepted);
        }
        Ok(again)
    }

    /// The lanes that are reported of, locked.
    async fn read(&mut self, pending: &[Checked]) -> ApiResult<BTreeMap<LaneId, Lane>> {
        let mut ids: Vec<LaneId> = pending.iter().map(|report| report.lane).collect();
        ids.dedup();
        let heads = self.tx.lanes().lock(&ids).await?;
        let mut lanes = BTreeMap::new();
        let mut ranges: BTreeMap<LaneId, TicketRange> = BTreeMap::new();
        for report in pending {
            let Some(head) = heads.get(&report.lane) else {
                continue;
            };
            lanes.entry(report.lane).or_insert_with(|| Lane {
                stored: Some(*head),
                recorded: vec![*head],
                head: Some(*head),
                ..Lane::default()
            });
            // What follows the head needs no more than the head to compare with.
            let last = report.tickets.last().map_or(0, |last| last.ticket.n);
            if report.chain.first <= head.ticket.n {
                let low = report.chain.first.saturating_sub(1);
                let range = ranges.entry(report.lane).or_insert(TicketRange {
                    lane: report.lane,
                    suite: report.chain.suite,
                    low,
                    high: last,
                });
                range.low = range.low.min(low);
                range.high = range.high.max(last).min(head.ticket.n);
            }
        }
        if !ranges.is_empty() {
            let ranges: Vec<TicketRange> = ranges.into_values().collect();
            for (id, mut tickets) in self.tx.tickets().find_ranges(&ranges).await? {
                let lane: &mut Lane = lanes.entry(id).or_default();
                tickets.extend(lane.head.filter(|head| {
                    tickets
                        .last()
                        .is_none_or(|last| last.ticket.n < head.ticket.n)
                }));
                lane.recorded = tickets;
            }
        }
        Ok(lanes)
    }

    async fn judge(&mut self, lane: &mut Lane, report: Checked) -> ApiResult<()> {
        let Some(bundle) = self.bundles.get(&report.lane.0).cloned() else {
            self.say(&report, refused("no such bundle"));
            return Ok(());
        };
        if bundle.state == BundleState::Disconnected {
            self.say(&report, ReportVerdict::Disconnected);
            return Ok(());
        }
        let Some(last) = report.tickets.last().copied() else {
            return Ok(());
        };
        match judge(lane.head.as_ref(), &lane.recorded, &report.tickets) {
            Verdict::Known => {
                lane.witnessed.record(report.side, last.ticket.n);
                lane.accepted.push(report);
            }
            Verdict::Gap { expected } => self.say(&report, ReportVerdict::Gap { expected }),
            Verdict::Collision { recorded, reported } => {
                // As evidence it has to be signed itself.
                if reported.verify(&report.key).is_err() {
                    self.say(&report, refused(MALFORMED));
                    return Ok(());
                }
                self.say(&report, ReportVerdict::Collision);
                self.recorded.found.push(Found {
                    kind: CollisionKind::Fork,
                    lane: report.lane.1,
                    n: reported.ticket.n,
                    recorded: Some(*recorded),
                    reported: Some(*reported),
                    reporter: report.reporter,
                    bundle,
                });
            }
            Verdict::Extends { from: _ } if self.is_too_late(&bundle, report.age_ms).await? => {
                // Only new tickets show that a superseded bundle is still in use. They
                // are not recorded: known ones would be no evidence any more, if we
                // died before the collision is recorded.
                self.say(&report, ReportVerdict::Collision);
                self.recorded.found.push(Found {
                    kind: CollisionKind::Superseded,
                    lane: report.lane.1,
                    n: last.ticket.n,
                    recorded: None,
                    reported: Some(last),
                    reporter: report.reporter,
                    bundle,
                });
            }
            Verdict::Extends { from } => {
                if let Some(first) = report.tickets.get(from) {
                    let run = Chain {
                        first: first.ticket.n,
                        previous: first.ticket.previous,
                        entries: report.chain.entries[from * ENTRY_LEN..].to_vec(),
                        ..report.chain
                    };
                    lane.runs.push((run, report.reporter));
                }
                lane.recorded.extend(&report.tickets[from..]);
                lane.head = Some(last);
                lane.witnessed.record(report.side, last.ticket.n);
                lane.accepted.push(report);
            }
        }
        Ok(())
    }

    /// Whether a superseded bundle was used after its grace.
    async fn is_too_late(&mut self, bundle: &BundleRow, age_ms: u64) -> ApiResult<bool> {
        let Some(superseded_at) = bundle.superseded_at else {
            return Ok(false);
        };
        let grace = match self.graces.get(&bundle.pair) {
            Some(grace) => *grace,
            None => {
                let pair = self.tx.pairs().find(bundle.pair).await?;
                let grace = pair.policy.supersede_grace_ms;
                self.graces.insert(bundle.pair, grace);
                grace
            }
        };
        let age = i64::try_from(age_ms)
            .unwrap_or(i64::MAX / 2)
            .min(86_400_000 * 365);
        let used_at = self.tx.now() - Duration::milliseconds(age);
        Ok(used_at > superseded_at + Duration::milliseconds(grace.into()))
    }

    fn say(&mut self, report: &Checked, verdict: ReportVerdict) {
        self.recorded
            .judged
            .push((report.at.0, report.at.1, verdict));
    }
}

/// A lane as it is after what was judged so far.
#[derive(Default)]
struct Lane {
    /// As the database has it.
    stored: Option<SignedTicket>,
    /// Around what is reported, in order; the last is the head.
    recorded: Vec<SignedTicket>,
    head: Option<SignedTicket>,
    witnessed: Witnessed,
    runs: Vec<(Chain, Uuid)>,
    /// Reports that were accepted on condition that the lane advances.
    accepted: Vec<Checked>,
}
