//! The lines of a lane, as far as reports are compared with them.

use std::collections::BTreeMap;

use armour_api::Role;
use armour_protocol::v2::{
    ledger::{LineEnd, LineVerdict, SubExchange, SubPosition, compare_end, in_turn},
    proof::Proof,
    rekey::{SubBody, SubEvidence, SubKind},
};
use armour_storage::{LaneId, LineAdvance, LineState, MAX_STORED, SubRange, SubRunRow, SubWitness};
use uuid::Uuid;

use super::check::{Bodies, Checked, CheckedLine};

/// What has to be read of a line to judge a report by it: nothing if it goes on with the line of
/// the lane's last exchange, whose end is kept with the lane.
pub fn needed(report: &Checked, head: u64, line: Option<&LineState>) -> Option<SubRange> {
    let line = line.filter(|line| line.n() == head);
    let range = |n, low: u32, high| SubRange {
        lane: report.lane,
        n,
        low: low.max(1),
        high,
    };
    match &report.bodies {
        Bodies::Line(of) if of.run.n > head => None,
        Bodies::Line(of) if of.run.n == head => {
            // Without a line nothing is recorded of it.
            let end = line?.ticket.body.k;
            let low = of.run.first.saturating_sub(1);
            // What follows its end needs no more than the end.
            (of.run.first <= end).then(|| range(head, low, of.last().min(end)))
        }
        Bodies::Line(of) => {
            let low = of.run.first.saturating_sub(1);
            Some(range(of.run.n, low, of.last()))
        }
        Bodies::Run(of) => {
            let (_, named) = of.before.as_ref()?;
            let named = named.filter(|named| named.n == head)?;
            let answered = line?.receipt.as_ref()?.body.k;
            (named.k < answered).then(|| range(head, named.k, named.k))
        }
    }
}

/// What is known of a lane's lines, and what has become of the last one.
#[derive(Default)]
pub struct Lines {
    /// Around what is reported: of the exchange, the sub-ticket.
    known: BTreeMap<(u64, u32), SubExchange>,
    state: Option<LineState>,
    runs: Vec<(SubRunRow, Uuid)>,
    /// The last sub-ticket that the producer's endpoint has reported just now.
    witnessed: Option<SubWitness>,
}

impl Lines {
    /// Those of a lane whose last line this is.
    pub fn of(state: Option<&LineState>) -> Self {
        Self {
            state: state.cloned(),
            ..Self::default()
        }
    }

    /// Learns what is recorded.
    pub fn know(&mut self, exchanges: Vec<SubExchange>) {
        let place = |one: &SubExchange| (one.ticket.n, one.ticket.k);
        self.known
            .extend(exchanges.into_iter().map(|one| (place(&one), one)));
    }

    /// What [`compare_line`](armour_protocol::v2::ledger::compare_line) needs for a report of
    /// exchange n's sub-tickets: from the one before its first on as far as there is no hole, or
    /// the last.
    pub fn around(&self, n: u64, first: u32, last: u32) -> Vec<SubExchange> {
        let low = first.saturating_sub(1);
        let known = self.known.range((n, low)..=(n, last));
        let mut recorded: Vec<SubExchange> = known.map(|(_, one)| *one).collect();
        if let Some(state) = self.state.as_ref().filter(|state| state.n() == n)
            && recorded
                .last()
                .is_none_or(|one| one.ticket.k < state.ticket.body.k)
            && (recorded.is_empty() || state.ticket.body.k <= last)
        {
            recorded.push(last_exchange(state));
        }
        recorded
    }

    /// What the ticket after exchange n, the lane's last one, makes of its line by naming this
    /// sub-receipt, or none.
    pub fn ends_with(&self, n: u64, named: Option<&SubBody>) -> LineVerdict {
        let state = self.state.as_ref().filter(|state| state.n() == n);
        let end = state.map(|state| LineEnd {
            ticket: state.ticket.body,
            receipt: state.receipt.as_ref().map(|receipt| receipt.body),
        });
        let last = end.and_then(|end| end.receipt);
        let recorded = named.and_then(|named| {
            let known = self.known.get(&(n, named.k));
            let known = known.and_then(|one| one.receipt);
            known.or(last.filter(|last| last.k == named.k))
        });
        compare_end(named, end.as_ref(), recorded.as_ref())
    }

    /// Takes what is new of a run, from this sub-ticket of it on.
    pub fn extend(&mut self, reporter: Uuid, of: &CheckedLine, from: usize) {
        let Some(first) = of.exchanges.get(from) else {
            return;
        };
        let (n, k) = (first.ticket.n, first.ticket.k);
        let before = self.state.take().filter(|state| state.n() == n);
        // Of the first one the sub-ticket may be recorded, and the sub-receipt be new.
        let has_ticket = before
            .as_ref()
            .is_some_and(|state| state.ticket.body.k == k);
        let skip = 2 * from + usize::from(has_ticket);
        let new = stored(of, skip);
        self.runs.extend(new.into_iter().map(|run| (run, reporter)));
        let last = |kind: SubKind, proof: &Proof| {
            let bodies = in_turn(&of.exchanges).filter(|body| body.kind == kind);
            bodies.last().map(|body| SubEvidence {
                body,
                proof: proof.clone(),
            })
        };
        let receipt = of
            .run
            .receipt
            .as_ref()
            .and_then(|proof| last(SubKind::Receipt, proof));
        let (before_ticket, before_receipt) = match before {
            Some(state) => (Some(state.ticket), state.receipt),
            None => (None, None),
        };
        let ticket = last(SubKind::Ticket, &of.run.ticket).or(before_ticket);
        self.state = ticket.map(|ticket| LineState {
            ticket,
            receipt: receipt.or(before_receipt),
        });
        self.know(of.exchanges.get(from..).unwrap_or_default().to_vec());
    }

    /// One side vouches for what is recorded, or is about to be, up to a sub-ticket.
    pub fn record(&mut self, side: Role, seen: SubWitness) {
        if side == Role::Producer {
            self.witnessed = self.witnessed.max(Some(seen));
        }
    }

    /// The step of the lane's last line, if there is one.
    pub fn advance(&mut self, lane: LaneId) -> Option<LineAdvance> {
        let runs = std::mem::take(&mut self.runs);
        let to = self.state.clone().filter(|_| !runs.is_empty())?;
        Some(LineAdvance {
            lane,
            to,
            runs,
            witnessed: self.witnessed,
        })
    }

    /// What the producer's endpoint vouches for, if nothing is new.
    pub fn witnessed(&self) -> Option<SubWitness> {
        self.witnessed.filter(|_| self.runs.is_empty())
    }
}

/// The last sub-ticket of a line.
fn last_exchange(state: &LineState) -> SubExchange {
    let k = state.ticket.body.k;
    let receipt = state.receipt.as_ref().map(|receipt| receipt.body);
    SubExchange {
        ticket: state.ticket.body,
        receipt: receipt.filter(|receipt| receipt.k == k),
    }
}

/// The bodies of a report from this one on, as they are stored: in parts, each of which can be
/// read without the others. Its two proofs are kept with the bodies that they are of.
fn stored(of: &CheckedLine, skip: usize) -> Vec<SubRunRow> {
    let (run, start) = (&of.run, SubPosition::of_ticket(of.run.first));
    let bodies: Vec<SubBody> = in_turn(&of.exchanges).collect();
    let last = |kind: SubKind| bodies.iter().rposition(|body| body.kind == kind);
    let (ticket, receipt) = (last(SubKind::Ticket), last(SubKind::Receipt));
    let left = run.rests.get(skip..).unwrap_or_default();
    let parts = left.chunks(MAX_STORED).enumerate();
    parts
        .filter_map(|(at, rests)| {
            let from = skip + at * MAX_STORED;
            let holds = |place: Option<usize>| {
                place.is_some_and(|place| (from..from + rests.len()).contains(&place))
            };
            Some(SubRunRow {
                n: run.n,
                first: SubPosition(start.0 + from as u64),
                previous: bodies.get(from)?.previous,
                rests: rests.to_vec(),
                ticket: holds(ticket).then(|| run.ticket.clone()),
                receipt: run.receipt.clone().filter(|_| holds(receipt)),
            })
        })
        .collect()
}
