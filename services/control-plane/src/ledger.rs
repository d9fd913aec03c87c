//! Recording reports: those of many calls in one transaction, each judged as if it
//! had come alone.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use armour_api::{BundleState, CollisionKind, EndpointState, ReportVerdict, Role};
use armour_protocol::{
    Suite,
    ledger::{Chain, ENTRY_LEN, Verdict, judge, vouched},
    ticket::{SignedTicket, TicketHash},
};
use armour_storage::{BundleRow, LaneAdvance, LaneId, Store, TicketRange, Tx, Witnessed};
use chrono::Duration;
use ed25519_dalek::VerifyingKey;
use uuid::Uuid;

use crate::{
    collision::{Found, declare},
    gather::Work,
    problem::{ApiError, ApiResult},
};

/// Another replica may open a lane at the same time, or a bundle be disconnected;
/// then its reports are judged again. More often than this it cannot be chance.
const MOST_ROUNDS: usize = 16;
const MALFORMED: &str = "the tickets are malformed or not signed by the bundle's consumer";

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

/// What a call is told.
pub enum Told {
    /// A verdict on each report, in their order.
    Verdicts(Vec<ReportVerdict>),
    /// The endpoint does not exist.
    Unknown,
    /// The endpoint's keys are no longer trusted.
    Revoked,
}

/// Records reports.
pub struct Ledger {
    store: Store,
}

impl Ledger {
    /// Records in this database.
    pub fn new(store: Store) -> Self {
        Self { store }
    }
}

impl Work for Ledger {
    type Ask = Call;
    type Answer = Told;

    fn weight(call: &Call) -> usize {
        let entries = call
            .reports
            .iter()
            .filter_map(|report| report.tickets.as_ref());
        let tickets: usize = entries.map(|(_, entries)| entries.len() / ENTRY_LEN).sum();
        tickets + call.reports.len()
    }

    async fn run(&self, tenant: Uuid, calls: &[Arc<Call>]) -> ApiResult<Vec<Told>> {
        let mut tx = self.store.tenant(tenant).await?;
        let endpoints: Vec<Uuid> = calls.iter().map(|call| call.endpoint).collect();
        let states = tx.endpoints().states(&endpoints).await?;
        let mut named: Vec<Uuid> = calls
            .iter()
            .flat_map(|call| call.reports.iter().map(|report| report.bundle))
            .collect();
        named.sort_unstable();
        named.dedup();
        let bundles = Arc::new(tx.bundles().find_many(&named).await?);
        let mut told: Vec<Told> = calls
            .iter()
            .map(|call| match states.get(&call.endpoint) {
                None => Told::Unknown,
                Some(EndpointState::Revoked) => Told::Revoked,
                // Whatever is not said below is malformed or nobody's.
                Some(EndpointState::Active) => Told::Verdicts(
                    call.reports
                        .iter()
                        .map(|report| refuse(call.endpoint, report, &bundles))
                        .collect(),
                ),
            })
            .collect();
        // Signatures are checked before any lane is locked, and where it does not keep
        // other calls waiting.
        let (calls, known) = (calls.to_vec(), bundles.clone());
        let heard: Vec<bool> = told
            .iter()
            .map(|told| matches!(told, Told::Verdicts(_)))
            .collect();
        let checked = tokio::task::spawn_blocking(move || {
            let heard = calls.iter().enumerate().filter(|(at, _)| heard[*at]);
            heard
                .flat_map(|(at, call)| check(at, call, &known))
                .collect::<Vec<_>>()
        });
        let checked = checked.await.map_err(ApiError::internal)?;
        let mut round = Round {
            tx: &mut tx,
            bundles: (*bundles).clone(),
            graces: HashMap::new(),
            judged: Vec::new(),
            found: Vec::new(),
            news: false,
        };
        round.record(checked).await?;
        let (judged, found, news) = (round.judged, round.found, round.news);
        for (at, place, verdict) in judged {
            if let Told::Verdicts(verdicts) = &mut told[at] {
                verdicts[place] = verdict;
            }
        }
        // Who vouches for known tickets may be lost in a crash.
        if !news {
            tx.allow_asynchronous_commit().await?;
        }
        tx.commit().await?;
        // Transactions of their own: the locks of the lanes have to be free. Nothing of
        // a contradicting report was recorded, so it is found again when it is
        // reported again.
        for found in &found {
            let mut tx = self.store.tenant(tenant).await?;
            declare(&mut tx, found).await?;
            tx.commit().await?;
        }
        Ok(told)
    }
}

/// A report whose chain is its bundle's consumer's.
struct Checked {
    /// Which call's, and which of its reports.
    at: (usize, usize),
    reporter: Uuid,
    side: Role,
    lane: LaneId,
    age_ms: u64,
    key: VerifyingKey,
    chain: Chain,
    tickets: Vec<SignedTicket>,
}

fn refused(detail: &str) -> ReportVerdict {
    ReportVerdict::Refused {
        detail: detail.to_owned(),
    }
}

/// What is said of a report of which nothing better can be said.
fn refuse(me: Uuid, report: &Report, bundles: &HashMap<Uuid, BundleRow>) -> ReportVerdict {
    match bundles.get(&report.bundle) {
        Some(bundle) if bundle.state == BundleState::Disconnected && side(bundle, me).is_some() => {
            ReportVerdict::Disconnected
        }
        Some(bundle) if side(bundle, me).is_some() => refused(MALFORMED),
        _ => refused("no such bundle"),
    }
}

fn side(bundle: &BundleRow, endpoint: Uuid) -> Option<Role> {
    match endpoint {
        me if me == bundle.consumer => Some(Role::Consumer),
        me if me == bundle.producer => Some(Role::Producer),
        _ => None,
    }
}

/// The reports of a call that can be judged.
fn check(at: usize, call: &Call, bundles: &HashMap<Uuid, BundleRow>) -> Vec<Checked> {
    let reports = call.reports.iter().enumerate();
    let checked = reports.filter_map(|(place, report)| {
        let bundle = bundles.get(&report.bundle)?;
        let side = side(bundle, call.endpoint)?;
        if bundle.state == BundleState::Disconnected {
            return None;
        }
        let (previous, entries) = report.tickets.as_ref()?;
        let chain = Chain {
            suite: Suite::from_u8(bundle.suite).ok()?,
            bundle: *bundle.id.as_bytes(),
            lane: report.lane,
            first: report.first,
            previous: *previous,
            entries: entries.clone(),
        };
        let key = bundle.consumer_key.as_slice().try_into().ok()?;
        let key = VerifyingKey::from_bytes(key).ok()?;
        let tickets = chain.tickets().ok()?;
        // As many as the database can count.
        i64::try_from(tickets.last()?.ticket.n).ok()?;
        vouched(&tickets, &key).ok()?;
        Some(Checked {
            at: (at, place),
            reporter: call.endpoint,
            side,
            lane: (report.bundle, report.lane),
            age_ms: report.age_ms,
            key,
            chain,
            tickets,
        })
    });
    checked.collect()
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

struct Round<'a> {
    tx: &'a mut Tx,
    bundles: HashMap<Uuid, BundleRow>,
    graces: HashMap<Uuid, u32>,
    judged: Vec<(usize, usize, ReportVerdict)>,
    found: Vec<Found>,
    news: bool,
}

impl Round<'_> {
    async fn record(&mut self, mut pending: Vec<Checked>) -> ApiResult<()> {
        for _ in 0..MOST_ROUNDS {
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
            self.news |= !advanced.is_empty();
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
                self.found.push(Found {
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
                // died before the collision is declared.
                self.say(&report, ReportVerdict::Collision);
                self.found.push(Found {
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
        self.judged.push((report.at.0, report.at.1, verdict));
    }
}
