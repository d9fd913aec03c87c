//! What is to be reported of one lane, in order, and what was reported of late.

use std::{collections::VecDeque, time::Duration};

use armour_api::ReportVerdict;
use armour_enclave::binding::LaneId;
use armour_protocol::v2::{body::BodyHash, ledger::Before, message::Evidence, rekey::SubEvidence};
use opentelemetry::trace::SpanContext;
use tokio::{sync::oneshot, time::Instant};

use super::part::{Part, Said};

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
    pub said: Said,
    /// The span that brought it forth, if it is recorded.
    pub span: Option<SpanContext>,
    pub outcome: Option<oneshot::Sender<ReportVerdict>>,
}

/// A run to be reported.
pub(super) struct Report {
    pub id: LaneId,
    pub run: Part,
    pub entries: Vec<Entry>,
    /// The ledger had taken it before.
    pub again: bool,
}

/// One lane of a bundle.
pub(super) struct Lane {
    id: LaneId,
    /// In the order in which they were handed in; with a receipt its ticket, unless that is
    /// the one before.
    waiting: Vec<(Option<Said>, Entry)>,
    /// The last tickets: a receipt is reported with its ticket.
    tickets: VecDeque<Evidence>,
    /// The last receipts: the ledger may ask for one.
    receipts: VecDeque<Evidence>,
    /// The same of the lines of sub-tickets.
    sub_tickets: VecDeque<SubEvidence>,
    sub_receipts: VecDeque<SubEvidence>,
    kept: VecDeque<(Instant, Part)>,
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
            sub_tickets: VecDeque::new(),
            sub_receipts: VecDeque::new(),
            kept: VecDeque::new(),
            touched: Instant::now(),
            given_up: false,
        }
    }

    /// Adds what is to be reported. A receipt whose ticket is not known comes back.
    pub fn add(&mut self, entry: Box<Entry>) -> Result<(), Box<Entry>> {
        self.touched = Instant::now();
        let mut ticket = None;
        if !entry.said.is_ticket() {
            let before = self.waiting.last().map(|(_, before)| &before.said);
            if !before.is_some_and(|before| before.is_before(&entry.said)) {
                ticket = self.ticket_of(&entry.said);
                if ticket.is_none() {
                    return Err(entry);
                }
            }
        }
        match (&entry.said, entry.said.is_ticket()) {
            (Said::Lane(one), true) => note(&mut self.tickets, one),
            (Said::Lane(one), false) => note(&mut self.receipts, one),
            (Said::Line(one), true) => note(&mut self.sub_tickets, one),
            (Said::Line(one), false) => note(&mut self.sub_receipts, one),
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
        let is = |said: &Said| matches!(said, Said::Lane(one) if one == evidence);
        let mut waiting = self.waiting.iter_mut();
        if let Some((_, entry)) = waiting.rfind(|(_, entry)| is(&entry.said)) {
            entry.span = Some(span);
        }
    }

    /// What is to be reported, in runs: each goes on as long as one follows the other. What
    /// does not follow, such as a stranger's, begins a run of its own, and so does what
    /// follows the one before that.
    pub fn take(&mut self) -> Vec<Report> {
        let mut reports: Vec<Report> = Vec::new();
        let mut last: Option<Said> = None;
        for (ticket, entry) in std::mem::take(&mut self.waiting) {
            let next = &entry.said;
            let goes_on = last.is_some_and(|last: Said| last.is_before(next));
            last = Some(next.clone());
            match reports.last_mut() {
                Some(report) if goes_on && (report.run.len() < MAX_BODIES || !next.is_ticket()) => {
                    report.run.append(next);
                    report.entries.push(entry);
                }
                _ => reports.push(self.begin(ticket, entry)),
            }
        }
        reports
    }

    /// A report that begins with this; if it is a receipt, with its ticket.
    fn begin(&self, ticket: Option<Said>, first: Entry) -> Report {
        let mut run = Part::of(ticket.as_ref().unwrap_or(&first.said));
        if let Part::Run(run) = &mut run {
            run.before = self.before(run.first, run.previous);
        }
        if ticket.is_some() {
            run.append(&first.said);
        }
        Report {
            id: self.id,
            run,
            entries: vec![first],
            again: false,
        }
    }

    /// What a ticket names, if the streams of the exchange before it were re-keyed.
    fn before(&self, n: u64, named: BodyHash) -> Option<Before> {
        let n = n.checked_sub(1)?;
        let mut receipts = self.receipts.iter().filter(|one| one.body.header.n == n);
        receipts.find_map(|receipt| {
            let mut subs = self.sub_receipts.iter().rev();
            let last = subs.find(|sub| {
                let hash = Some(sub.body.hash());
                sub.body.n == n && BodyHash::after_rekeyed(&receipt.body, hash) == named
            })?;
            Some(Before::of(&receipt.body, Some(&last.body)))
        })
    }

    fn ticket_of(&self, receipt: &Said) -> Option<Said> {
        match receipt {
            Said::Lane(receipt) => {
                let named = |ticket: &&Evidence| ticket.body.hash() == receipt.body.previous;
                let ticket = self.tickets.iter().rfind(named);
                ticket.cloned().map(Said::Lane)
            }
            Said::Line(receipt) => {
                let named = |ticket: &&SubEvidence| ticket.body.hash() == receipt.body.previous;
                let ticket = self.sub_tickets.iter().rfind(named);
                ticket.cloned().map(Said::Line)
            }
        }
    }

    /// Keeps what the ledger has taken, for a while.
    pub fn keep(&mut self, run: Part) {
        let now = Instant::now();
        self.kept.push_back((now, run));
        self.forget(now);
        let mut bodies: usize = self.kept.iter().map(|(_, run)| run.len()).sum();
        while bodies > MAX_KEPT
            && let Some((_, oldest)) = self.kept.pop_front()
        {
            bodies -= oldest.len();
        }
    }

    /// What is kept from an exchange on, or from a sub-ticket of it; none if something of it is
    /// not kept.
    pub fn kept_from(&self, expected: u64, k: u32) -> Option<Vec<Report>> {
        let from = self
            .kept
            .iter()
            .rposition(|(_, run)| run.reaches_back_to(expected, k))?;
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

    /// The sub-receipt of an exchange that was handed in of late.
    pub fn sub_receipt(&self, n: u64, k: u32) -> Option<&SubEvidence> {
        let mut receipts = self.sub_receipts.iter();
        receipts.find(|receipt| (receipt.body.n, receipt.body.k) == (n, k))
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

/// Keeps what was handed in of late.
fn note<T: Clone>(recent: &mut VecDeque<T>, one: &T) {
    recent.push_back(one.clone());
    if recent.len() > MAX_RECENT {
        recent.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use armour_protocol::v2::{body::Kind, ledger::Run};

    use super::*;
    use crate::control_plane::testing::{bundle, exchanges, receipt_for, ticket_after};

    fn entry(evidence: &Evidence) -> Box<Entry> {
        Box::new(Entry {
            said: Said::Lane(evidence.clone()),
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

    fn run(first: &Evidence, rests: &[&Evidence], ticket: &Evidence) -> Part {
        let receipt = rests
            .iter()
            .rfind(|one| one.body.header.kind == Kind::Receipt);
        Part::Run(Run {
            lane: 0,
            first: first.body.header.n,
            previous: first.body.previous,
            before: None,
            rests: rests.iter().map(|one| one.body.rest).collect(),
            ticket: ticket.proof.clone(),
            receipt: receipt.map(|one| one.proof.clone()),
        })
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
        assert_eq!((all.run.first(), all.run.len()), (0, 2 + 4 * MAX_RECENT));
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
            assert_eq!((report.run.first(), report.run.len()), (first, MAX_BODIES));
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
            let reports = lane.kept_from(from, 0)?.into_iter();
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
        let Part::Run(mut long) = run(&t0, &[&t0, &r0], &t0) else {
            panic!("it is of the lane's chain");
        };
        long.rests = vec![[0; 32]; MAX_KEPT];
        lane.keep(Part::Run(long));
        lane.keep(run(&t1, &[&t1, &r1], &t1));
        assert_eq!(lane.kept.len(), 1, "the oldest made room");
    }
}
