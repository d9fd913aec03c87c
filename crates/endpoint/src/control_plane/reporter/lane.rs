//! What is to be reported of one lane, in order, and what was reported of late.

use std::{collections::VecDeque, time::Duration};

use armour_api::ReportVerdict;
use armour_enclave::binding::LaneId;
use armour_protocol::v2::{
    body::{Body, BodyHash, Kind},
    ledger::Run,
    message::Evidence,
};
use opentelemetry::trace::SpanContext;
use tokio::{sync::oneshot, time::Instant};

/// Most tickets and receipts of a run and of a call.
pub(super) const MAX_BODIES: usize = 4000;
/// How long what the ledger has taken is kept: a standby that takes over may lack it.
pub(super) const KEPT: Duration = Duration::from_secs(5 * 60);
/// How many tickets and receipts of a lane are kept at most.
const MAX_KEPT: usize = 1 << 15;
/// How many of its last tickets and receipts are kept with their proofs.
const MAX_RECENT: usize = 16;
/// A lane that was idle for so long is of no bundle that lives.
const LIFETIME: Duration = Duration::from_secs(25 * 60 * 60);

/// A ticket or receipt that is to be reported.
pub(super) struct Entry {
    pub evidence: Evidence,
    /// The span that brought it forth, if it is recorded.
    pub span: Option<SpanContext>,
    pub outcome: Option<oneshot::Sender<ReportVerdict>>,
}

/// A run to be reported.
pub(super) struct Report {
    pub id: LaneId,
    pub run: Run,
    pub entries: Vec<Entry>,
    /// The ledger had taken it before.
    pub again: bool,
}

/// One lane of a bundle.
pub(super) struct Lane {
    id: LaneId,
    /// In the order in which they were handed in; with a receipt its ticket, unless that is
    /// the one before.
    waiting: Vec<(Option<Evidence>, Entry)>,
    /// The last tickets: a receipt is reported with its ticket.
    tickets: VecDeque<Evidence>,
    /// The last receipts: the ledger may ask for one.
    receipts: VecDeque<Evidence>,
    kept: VecDeque<(Instant, Run)>,
    touched: Instant,
    given_up: bool,
}

impl Lane {
    pub fn new(id: LaneId) -> Self {
        Self {
            id,
            waiting: Vec::new(),
            tickets: VecDeque::new(),
            receipts: VecDeque::new(),
            kept: VecDeque::new(),
            touched: Instant::now(),
            given_up: false,
        }
    }

    /// Adds what is to be reported. A receipt whose ticket is not known comes back.
    pub fn add(&mut self, entry: Box<Entry>) -> Result<(), Box<Entry>> {
        self.touched = Instant::now();
        let body = &entry.evidence.body;
        let mut ticket = None;
        let recent = match body.header.kind {
            Kind::Receipt => {
                let before = self.waiting.last().map(|(_, before)| &before.evidence.body);
                if !before.is_some_and(|before| follows(before, body)) {
                    ticket = self.ticket_of(body).cloned();
                    if ticket.is_none() {
                        return Err(entry);
                    }
                }
                &mut self.receipts
            }
            _ => &mut self.tickets,
        };
        recent.push_back(entry.evidence.clone());
        if recent.len() > MAX_RECENT {
            recent.pop_front();
        }
        self.waiting.push((ticket, *entry));
        Ok(())
    }

    /// Whether something is to be reported.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// No ticket follows, and perhaps no receipt.
    pub fn give_up(&mut self) {
        self.given_up = true;
    }

    /// Has a report that still waits go on with a span's trace.
    pub fn trace(&mut self, evidence: &Evidence, span: SpanContext) {
        let mut waiting = self.waiting.iter_mut();
        if let Some((_, entry)) = waiting.rfind(|(_, entry)| entry.evidence == *evidence) {
            entry.span = Some(span);
        }
    }

    /// What is to be reported, in runs: each goes on as long as one follows the other. What
    /// does not follow, such as a stranger's, begins a run of its own, and so does what
    /// follows the one before that.
    pub fn take(&mut self) -> Vec<Report> {
        let mut reports: Vec<Report> = Vec::new();
        let mut last: Option<Body> = None;
        for (ticket, entry) in std::mem::take(&mut self.waiting) {
            let next = &entry.evidence;
            let is_ticket = next.body.header.kind == Kind::Ticket;
            let goes_on = last.is_some_and(|last: Body| follows(&last, &next.body));
            last = Some(next.body);
            match reports.last_mut() {
                Some(report) if goes_on && (report.run.rests.len() < MAX_BODIES || !is_ticket) => {
                    append(&mut report.run, next);
                    report.entries.push(entry);
                }
                _ => reports.push(begin(self.id, ticket.as_ref(), entry)),
            }
        }
        reports
    }

    fn ticket_of(&self, receipt: &Body) -> Option<&Evidence> {
        let mut tickets = self.tickets.iter();
        tickets.rfind(|ticket| ticket.body.hash() == receipt.previous)
    }

    /// Keeps what the ledger has taken, for a while.
    pub fn keep(&mut self, run: Run) {
        let now = Instant::now();
        self.kept.push_back((now, run));
        self.forget(now);
        let mut bodies: usize = self.kept.iter().map(|(_, run)| run.rests.len()).sum();
        while bodies > MAX_KEPT
            && let Some((_, oldest)) = self.kept.pop_front()
        {
            bodies -= oldest.rests.len();
        }
    }

    /// What is kept from an exchange on; none if something of it is not kept.
    pub fn kept_from(&self, expected: u64) -> Option<Vec<Report>> {
        let from = self
            .kept
            .iter()
            .rposition(|(_, run)| run.first <= expected)?;
        let kept = self.kept.iter().skip(from).map(|(_, run)| Report {
            id: self.id,
            run: run.clone(),
            entries: Vec::new(),
            again: true,
        });
        Some(kept.collect())
    }

    /// The receipt of an exchange that was handed in of late.
    pub fn receipt(&self, n: u64) -> Option<&Evidence> {
        let mut receipts = self.receipts.iter();
        receipts.find(|receipt| receipt.body.header.n == n)
    }

    /// Whether nothing would be lost with it.
    pub fn is_over(&mut self) -> bool {
        let now = Instant::now();
        self.forget(now);
        let idle = now - self.touched;
        self.waiting.is_empty()
            && self.kept.is_empty()
            && (idle > LIFETIME || idle > KEPT && (self.given_up || self.is_answered()))
    }

    /// Whether the last receipt is the last ticket's: no other will come for it.
    fn is_answered(&self) -> bool {
        let ticket = self.tickets.back().map(|ticket| ticket.body.hash());
        self.receipts.back().map(|receipt| receipt.body.previous) == ticket
    }

    fn forget(&mut self, now: Instant) {
        while let Some((at, _)) = self.kept.front()
            && now - *at > KEPT
        {
            self.kept.pop_front();
        }
    }
}

/// A report that begins with this; if it is a receipt, with its ticket.
fn begin(id: LaneId, ticket: Option<&Evidence>, first: Entry) -> Report {
    let mut run = Run::of(ticket.unwrap_or(&first.evidence));
    if ticket.is_some() {
        append(&mut run, &first.evidence);
    }
    Report {
        id,
        run,
        entries: vec![first],
        again: false,
    }
}

/// Goes on with what follows, as was checked.
fn append(run: &mut Run, next: &Evidence) {
    run.rests.push(next.body.rest);
    match next.body.header.kind {
        Kind::Receipt => run.receipt = Some(next.proof.clone()),
        _ => run.ticket = next.proof.clone(),
    }
}

/// Whether one follows the other in a lane's chain.
fn follows(last: &Body, next: &Body) -> bool {
    let (kind, n, previous) = match last.header.kind {
        Kind::Ticket => (Kind::Receipt, Some(last.header.n), last.hash()),
        _ => (
            Kind::Ticket,
            last.header.n.checked_add(1),
            BodyHash::after(last),
        ),
    };
    (next.header.kind, Some(next.header.n), next.previous) == (kind, n, previous)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control_plane::testing::{bundle, exchanges, receipt_for, ticket_after};

    fn entry(evidence: &Evidence) -> Box<Entry> {
        Box::new(Entry {
            evidence: evidence.clone(),
            span: None,
            outcome: None,
        })
    }

    fn lane() -> Lane {
        Lane::new(LaneId {
            bundle: bundle(),
            lane: 0,
        })
    }

    fn add(lane: &mut Lane, evidence: &Evidence) {
        assert!(lane.add(entry(evidence)).is_ok());
    }

    fn add_all<const N: usize>(lane: &mut Lane, all: [&Evidence; N]) {
        all.into_iter().for_each(|one| add(lane, one));
    }

    fn run(first: &Evidence, rests: &[&Evidence], ticket: &Evidence) -> Run {
        let receipt = rests
            .iter()
            .rfind(|one| one.body.header.kind == Kind::Receipt);
        Run {
            lane: 0,
            first: first.body.header.n,
            previous: first.body.previous,
            before: None,
            rests: rests.iter().map(|one| one.body.rest).collect(),
            ticket: ticket.proof.clone(),
            receipt: receipt.map(|one| one.proof.clone()),
        }
    }

    #[test]
    fn a_run_that_ended_with_a_ticket_goes_on_from_it() {
        let [t0, r0, t1, r1, t2, r2] = exchanges();
        let mut lane = lane();
        add_all(&mut lane, [&t0, &r0, &t1]);
        let [first] = lane.take().try_into().ok().unwrap();
        assert_eq!(first.run, run(&t0, &[&t0, &r0, &t1], &t1));
        add(&mut lane, &r1);
        let [second] = lane.take().try_into().ok().unwrap();
        assert_eq!(second.run, run(&t1, &[&t1, &r1], &t1));
        assert_eq!(second.entries.len(), 1, "the ticket was counted before");
        add_all(&mut lane, [&t2, &r2]);
        let [third] = lane.take().try_into().ok().unwrap();
        assert_eq!(third.run, run(&t2, &[&t2, &r2], &t2));
        assert!(lane.take().is_empty());
    }

    #[test]
    fn what_does_not_follow_is_reported_by_itself() {
        let [t0, r0, t1, r1, t2, _] = exchanges();
        let mut lane = lane();
        // A copy of the consumer's, then one of the producer's.
        let stolen = ticket_after(&r0, 77);
        let other = receipt_for(&t1, 78);
        add_all(&mut lane, [&t0, &r0, &t1, &stolen, &r1, &other, &t2]);
        let runs: Vec<_> = lane.take().into_iter().map(|report| report.run).collect();
        assert_eq!(
            runs,
            [
                run(&t0, &[&t0, &r0, &t1], &t1),
                run(&stolen, &[&stolen], &stolen),
                run(&t1, &[&t1, &r1], &t1),
                run(&t1, &[&t1, &other], &t1),
                run(&t2, &[&t2], &t2),
            ]
        );
        // Nobody could check a receipt without its ticket.
        let unknown = receipt_for(&ticket_after(&r1, 79), 80);
        assert!(lane.add(entry(&unknown)).is_err());
    }

    #[test]
    fn a_strangers_ticket_that_comes_first_keeps_no_receipt_from_the_ledger() {
        let [t0, r0, _, r1, ..] = exchanges();
        let mut lane = lane();
        let stolen = ticket_after(&r1, 77);
        add_all(&mut lane, [&stolen, &t0]);
        assert_eq!(lane.take().len(), 2);
        add_all(&mut lane, [&r0]);
        let [own] = lane.take().try_into().ok().unwrap();
        assert_eq!(own.run, run(&t0, &[&t0, &r0], &t0));
    }

    #[test]
    fn a_receipt_is_reported_however_much_follows_before_the_next_report() {
        let [t0, r0, ..] = exchanges();
        let mut lane = lane();
        add(&mut lane, &t0);
        assert_eq!(lane.take().len(), 1);
        add(&mut lane, &r0);
        let mut receipt = r0;
        for n in 0..2 * MAX_RECENT {
            let ticket = ticket_after(&receipt, n as u8);
            receipt = receipt_for(&ticket, n as u8);
            add_all(&mut lane, [&ticket, &receipt]);
        }
        let [all] = lane.take().try_into().ok().unwrap();
        assert_eq!(
            (all.run.first, all.run.rests.len()),
            (0, 2 + 4 * MAX_RECENT)
        );
        assert_eq!(all.entries.len(), 1 + 4 * MAX_RECENT);
    }

    #[test]
    fn a_long_run_is_cut_before_a_ticket() {
        let mut lane = lane();
        let [mut ticket, mut receipt, ..] = exchanges();
        for n in 0..MAX_BODIES {
            add(&mut lane, &ticket);
            add(&mut lane, &receipt);
            ticket = ticket_after(&receipt, n as u8);
            receipt = receipt_for(&ticket, n as u8);
        }
        let reports = lane.take();
        assert_eq!(reports.len(), 2);
        for (report, first) in reports.iter().zip([0, MAX_BODIES as u64 / 2]) {
            assert_eq!(
                (report.run.first, report.run.rests.len()),
                (first, MAX_BODIES)
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_taken_is_kept_for_a_while_and_in_bounds() {
        let [t0, r0, t1, r1, ..] = exchanges();
        let mut lane = lane();
        let (first, second) = (run(&t0, &[&t0, &r0], &t0), run(&t1, &[&t1, &r1], &t1));
        lane.keep(first.clone());
        tokio::time::advance(KEPT / 2).await;
        lane.keep(second.clone());
        let kept = |lane: &Lane, from| {
            let reports = lane.kept_from(from)?.into_iter();
            Some(reports.map(|report| report.run).collect::<Vec<_>>())
        };
        assert_eq!(kept(&lane, 0), Some(vec![first, second.clone()]));
        assert_eq!(kept(&lane, 1), Some(vec![second.clone()]));
        tokio::time::advance(KEPT / 2 + Duration::from_secs(1)).await;
        assert!(!lane.is_over());
        assert_eq!(kept(&lane, 0), None);
        assert_eq!(kept(&lane, 1), Some(vec![second]));
        tokio::time::advance(KEPT).await;
        assert!(lane.is_over());
        let mut long = run(&t0, &[&t0, &r0], &t0);
        long.rests = vec![[0; 32]; MAX_KEPT];
        lane.keep(long.clone());
        lane.keep(run(&t1, &[&t1, &r1], &t1));
        assert_eq!(lane.kept.len(), 1, "the oldest made room");
    }
}
