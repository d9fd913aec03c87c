//! The protocol's own lanes around the streams of one exchange, and all messages met so far. Each
//! step is gone through once and remembered; a lane is made again by its history.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use armour_protocol::v2::{
    body::BodyHash,
    checkpoint::{CheckpointClaim, Mark},
    content::{DigestKind, Padding},
    enclave::{
        After, LaneMark, LaneMarks, Streaming,
        consumer::{self, Idle, SubReceiptStanding},
        producer::{self, Accepted, BareAfter, NotRekeyed, Ready, Rekeyed, SubStanding},
    },
    ledger::{LineEnd, LineVerdict, SubExchange, SubRunBuilder, compare_end, compare_line},
    message::SignedTicket,
    proxy::{FirstContent, Pending},
    rekey::{SignedSubReceipt, SignedSubTicket, SubBody, SubEvidence, SubKind},
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::lanes::{BUDGET, Bundle, LOG_HEAD, Signs, Who, clock, local, segment};

/// A state of one end's lane, by a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct End(u32);

/// A message, by a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Message(u32);

/// The consumer's lane once both streams flow.
pub const CONSUMER: End = End(0);
/// The producer's.
pub const PRODUCER: End = End(1);
/// The bundle.
const BUNDLE: Bundle = Bundle {
    number: 0,
    consumer: 0,
    producer: 0,
};

/// What is done to a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    /// The consumer's signs a sub-ticket.
    Ask(Who),
    /// It takes a sub-receipt, and goes on in its epoch.
    Take(Message),
    /// The producer's answers a sub-ticket, and goes on in its epoch.
    Answer(Message, Who),
    /// Both streams end, at this end and at this one of the peer's.
    Finish(End),
    /// The consumer's signs the lane's next ticket, without content.
    Next,
    /// The producer's takes it.
    Accept(Message),
}

/// A lane.
enum Real {
    Consumer(Box<Streaming<Idle>>),
    Producer(Box<Streaming<Ready>>),
    Idle(Box<Idle>),
    Ready(Box<Ready>),
    /// The next ticket waits for its receipt.
    Refreshing,
}

/// What was sent.
#[derive(Clone)]
enum Sent {
    Ticket(SignedSubTicket),
    Receipt(SignedSubReceipt),
    /// The lane's next ticket, and the sub-receipt that it names.
    Next(SignedTicket, Option<SubBody>),
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A sub-ticket.
    Ticket,
    /// A sub-receipt to this sub-ticket.
    Receipt(Message),
    /// The lane's next ticket.
    Next,
}

/// What a sub-ticket is to a producer's lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The next one.
    Next,
    /// The last one, again.
    Repeat,
    /// Any other: the ledger is to compare it.
    Stray,
}

/// What comes of a step: the end after it and what it sends; none if it is refused.
type Outcome = Option<(End, Option<Message>)>;

/// All states, messages and steps met so far.
#[derive(Default)]
pub struct Lines(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    histories: Vec<(End, Step)>,
    known: HashMap<(End, Step), Outcome>,
    sent: Vec<(Sent, Who, Kind)>,
    standings: HashMap<(End, Message), Standing>,
    clones: HashMap<(End, Message), bool>,
    marks: HashMap<End, Option<LaneMarks>>,
    verdicts: HashMap<(Vec<Message>, bool, Vec<Message>), Option<LineVerdict>>,
}

/// What a thief takes of both ends once both streams flow: they are made again from it.
struct Base {
    ticket: BodyHash,
    consumer: [Zeroizing<Vec<u8>>; 2],
    producer: [Zeroizing<Vec<u8>>; 2],
}

impl Lines {
    /// A sub-ticket of the consumer's end.
    pub fn ask(&self, end: End, who: Who) -> Option<(End, Message)> {
        with_message(self.step(end, Step::Ask(who))?)
    }

    /// The consumer's end behind a sub-receipt, if it awaits it.
    pub fn take(&self, end: End, receipt: Message) -> Option<End> {
        Some(self.step(end, Step::Take(receipt))?.0)
    }

    /// The producer's one answer to a sub-ticket, if that is the next.
    pub fn answer(&self, end: End, ticket: Message, who: Who) -> Option<(End, Message)> {
        with_message(self.step(end, Step::Answer(ticket, who))?)
    }

    /// Both ends behind their streams, if these end alike at both.
    pub fn finish(&self, consumer: End, producer: End) -> Option<(End, End)> {
        let ours = self.step(consumer, Step::Finish(producer))?.0;
        Some((ours, self.step(producer, Step::Finish(consumer))?.0))
    }

    /// The lane's next ticket.
    pub fn next(&self, end: End) -> Option<(End, Message)> {
        with_message(self.step(end, Step::Next)?)
    }

    /// The producer's end behind the lane's next ticket, if it is that.
    pub fn accept(&self, end: End, ticket: Message) -> Option<End> {
        Some(self.step(end, Step::Accept(ticket))?.0)
    }

    /// Who sent a message, and what it is.
    pub fn of(&self, message: Message) -> (Who, Kind) {
        let inner = self.lock();
        let (_, who, kind) = &inner.sent[message.0 as usize];
        (*who, *kind)
    }

    /// What a sub-ticket is to a producer's end.
    pub fn standing(&self, end: End, ticket: Message) -> Standing {
        let mut inner = self.lock();
        if let Some(known) = inner.standings.get(&(end, ticket)) {
            return *known;
        }
        let judged = match (inner.make(end), inner.sub_ticket(ticket)) {
            (Some(Real::Producer(it)), Some(ticket)) => it.lane().judge_sub(ticket),
            (Some(Real::Ready(it)), Some(ticket)) => it.judge_sub(ticket),
            _ => return Standing::Stray,
        };
        let standing = match judged {
            Ok(SubStanding::Next) => Standing::Next,
            Ok(SubStanding::Repeat) => Standing::Repeat,
            _ => Standing::Stray,
        };
        inner.standings.insert((end, ticket), standing);
        standing
    }

    /// Whether a sub-receipt that nobody awaits shows that the producer was copied.
    pub fn is_clone(&self, end: End, receipt: Message) -> bool {
        let mut inner = self.lock();
        if let Some(known) = inner.clones.get(&(end, receipt)) {
            return *known;
        }
        let judged = match (inner.make(end), inner.sub_receipt(receipt)) {
            (Some(Real::Consumer(it)), Some(receipt)) => it.judge_sub(receipt),
            (Some(Real::Idle(it)), Some(receipt)) => it.judge_sub(receipt),
            _ => return false,
        };
        let found = matches!(judged, Ok(SubReceiptStanding::Clone { .. }));
        inner.clones.insert((end, receipt), found);
        found
    }

    /// Whether the ledger's last sub-ticket, or sub-receipt, can be this end's own.
    pub fn owns(&self, end: End, head: Message) -> bool {
        let mut inner = self.lock();
        let marks = inner.marks(end);
        let head = inner
            .evidence(head)
            .map(|head| LaneMark::of_sub(&head.body));
        // An end that waits for the next ticket's receipt has a later mark.
        marks.zip(head).is_none_or(|(marks, head)| marks.own(&head))
    }

    /// What a reported part of the line is to what is recorded; nothing if it is nobody's word,
    /// or no part of a line.
    pub fn verdict(
        &self,
        recorded: &[Message],
        is_closed: bool,
        reported: &[Message],
    ) -> Option<LineVerdict> {
        let mut inner = self.lock();
        let key = (recorded.to_vec(), is_closed, reported.to_vec());
        if let Some(known) = inner.verdicts.get(&key) {
            return *known;
        }
        let ours = match recorded {
            [] => Some(Vec::new()),
            _ => inner.exchanges(recorded),
        };
        let both = ours.zip(inner.exchanges(reported));
        let ticket = base().map(|base| base.ticket);
        let verdict = both
            .zip(ticket)
            .map(|((ours, theirs), ticket)| compare_line(ticket, &ours, is_closed, &theirs));
        inner.verdicts.insert(key, verdict);
        verdict
    }

    /// What the lane's next ticket makes of the recorded line by what it names.
    pub fn end_of(&self, recorded: &[Message], next: Message) -> Option<LineVerdict> {
        let inner = self.lock();
        let Some((Sent::Next(_, named), ..)) = inner.sent.get(next.0 as usize) else {
            return None;
        };
        let bodies: Vec<SubBody> = recorded
            .iter()
            .filter_map(|one| Some(inner.evidence(*one)?.body))
            .collect();
        let last = |kind: SubKind| bodies.iter().rev().find(|body| body.kind == kind);
        let end = last(SubKind::Ticket).map(|ticket| LineEnd {
            ticket: *ticket,
            receipt: last(SubKind::Receipt).copied(),
        });
        let same = |body: &&SubBody| {
            let named = named.as_ref();
            body.kind == SubKind::Receipt && named.is_some_and(|named| named.k == body.k)
        };
        let recorded = bodies.iter().find(same);
        Some(compare_end(named.as_ref(), end.as_ref(), recorded))
    }

    /// The number of the sub-ticket that a message is, or answers.
    pub fn k(&self, message: Message) -> u32 {
        let inner = self.lock();
        inner.evidence(message).map_or(0, |one| one.body.k)
    }

    /// How many of the messages, from the first on, make one part of a line.
    pub fn run_len(&self, messages: &[Message]) -> usize {
        let inner = self.lock();
        let mut evidence = messages.iter().map_while(|one| inner.evidence(*one));
        let Some(first) = evidence.next() else {
            // The lane's next ticket, by itself.
            return messages.len().min(1);
        };
        if first.body.kind != SubKind::Ticket {
            return 1;
        }
        let mut run = SubRunBuilder::of(&first);
        1 + evidence.take_while(|next| run.push(next)).count()
    }

    /// Whether `shown` proves that the producer was copied: it signed this sub-receipt, too, for
    /// the same sub-ticket as the one that is recorded.
    pub fn contradicts(&self, recorded: Message, shown: Message) -> bool {
        let inner = self.lock();
        let both = inner.evidence(recorded).zip(inner.evidence(shown));
        both.is_some_and(|(ours, theirs)| {
            ours.body != theirs.body
                && ours.body.previous == theirs.body.previous
                && theirs.verify(&BUNDLE.context()).is_ok()
        })
    }

    /// Lane states, and messages, met.
    pub fn met(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.histories.len() + 2, inner.sent.len())
    }

    fn step(&self, from: End, step: Step) -> Option<(End, Option<Message>)> {
        let mut inner = self.lock();
        if let Some(known) = inner.known.get(&(from, step)) {
            return *known;
        }
        let outcome = inner.go(from, step);
        inner.known.insert((from, step), outcome);
        outcome
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn with_message((end, message): (End, Option<Message>)) -> Option<(End, Message)> {
    Some((end, message?))
}

impl Inner {
    /// Takes a step for the first time.
    fn go(&mut self, from: End, step: Step) -> Option<(End, Option<Message>)> {
        let before = self.make(from)?;
        let (_, sent) = self.taken(before, from, step)?;
        let end = End(u32::try_from(self.histories.len() + 2).ok()?);
        self.histories.push((from, step));
        let message = match sent {
            None => None,
            Some(sent) => {
                let message = Message(u32::try_from(self.sent.len()).ok()?);
                let (who, kind) = match step {
                    Step::Ask(who) => (who, Kind::Ticket),
                    Step::Answer(ticket, who) => (who, Kind::Receipt(ticket)),
                    _ => (Who::Owner, Kind::Next),
                };
                self.sent.push((sent, who, kind));
                Some(message)
            }
        };
        Some((end, message))
    }

    /// Makes the real lane of a state by going through its history.
    fn make(&self, end: End) -> Option<Real> {
        let mut steps = Vec::new();
        let mut at = end;
        while at != CONSUMER && at != PRODUCER {
            let (from, step) = *self.histories.get(at.0.checked_sub(2)? as usize)?;
            steps.push((from, step));
            at = from;
        }
        let base = base()?;
        let context = BUNDLE.context();
        let mut real = if at == CONSUMER {
            let [lane, streams] = &base.consumer;
            let idle = Idle::from_stolen(context.clone(), lane).ok()?;
            let streaming = Streaming::from_stolen(idle, context, streams).ok()?;
            Real::Consumer(Box::new(streaming))
        } else {
            let [lane, streams] = &base.producer;
            let ready = Ready::from_stolen(context.clone(), lane).ok()?;
            let streaming = Streaming::from_stolen(ready, context, streams).ok()?;
            Real::Producer(Box::new(streaming))
        };
        for (from, step) in steps.into_iter().rev() {
            real = self.taken(real, from, step)?.0;
        }
        Some(real)
    }

    /// Takes a step; nothing if the lane does not take it.
    fn taken(&self, before: Real, from: End, step: Step) -> Option<(Real, Option<Sent>)> {
        let mut rng = rng(from, step);
        let tickets = BUNDLE.key(Signs::Tickets);
        let receipts = BUNDLE.key(Signs::Receipts);
        Some(match (before, step) {
            (Real::Consumer(mut it), Step::Ask(_)) => {
                let ticket = it.rekey(Mark::NONE, &mut rng).ok()?.sign(&tickets);
                (Real::Consumer(it), Some(Sent::Ticket(ticket)))
            }
            (Real::Consumer(mut it), Step::Take(receipt)) => {
                it.rekeyed(self.sub_receipt(receipt)?).ok()?;
                // Behind its switch comes a checkpoint.
                it.checkpoint(claim(false)?).ok()?;
                (Real::Consumer(it), None)
            }
            (Real::Producer(mut it), Step::Answer(ticket, _)) => {
                let rekeyed = it.rekey(self.sub_ticket(ticket)?, Mark::NONE, &mut rng);
                let receipt = answered(rekeyed)?.receipt.sign(&receipts);
                it.checkpoint(claim(false)?).ok()?;
                (Real::Producer(it), Some(Sent::Receipt(receipt)))
            }
            // After both ends, as long as the next ticket has not come.
            (Real::Ready(mut it), Step::Answer(ticket, _)) => {
                let rekeyed = it.rekey(self.sub_ticket(ticket)?, Mark::NONE, &mut rng);
                let receipt = answered(rekeyed)?.receipt.sign(&receipts);
                (Real::Ready(it), Some(Sent::Receipt(receipt)))
            }
            (Real::Consumer(mut it), Step::Finish(peer)) => {
                let Real::Producer(mut theirs) = self.make(peer)? else {
                    return None;
                };
                it.checkpoint(claim(true)?).ok()?;
                let last = theirs.checkpoint(claim(true)?).ok()?.sign(&receipts);
                let last = it.read_checkpoint(&last.to_bytes()).ok()?;
                (Real::Idle(Box::new(it.finish(Some(&last)).ok()?)), None)
            }
            (Real::Producer(mut it), Step::Finish(peer)) => {
                let Real::Consumer(mut theirs) = self.make(peer)? else {
                    return None;
                };
                it.checkpoint(claim(true)?).ok()?;
                let last = theirs.checkpoint(claim(true)?).ok()?.sign(&tickets);
                let last = it.read_checkpoint(&last.to_bytes()).ok()?;
                (Real::Ready(Box::new(it.finish(Some(&last)).ok()?)), None)
            }
            (Real::Idle(it), Step::Next) => {
                let named = it.sub_receipt().map(|one| one.body);
                let (_, ticket) = it.refresh(local(0), &mut rng).ok()?;
                let ticket = ticket.sign(&tickets);
                (Real::Refreshing, Some(Sent::Next(ticket, named)))
            }
            (Real::Ready(it), Step::Accept(ticket)) => {
                let Sent::Next(ticket, _) = &self.sent.get(ticket.0 as usize)?.0 else {
                    return None;
                };
                let Ok(Accepted::Bare(bare)) = it.accept(ticket) else {
                    return None;
                };
                let BareAfter::Ready(it) = bare.answer(clock(0), &mut rng).ok()?.0 else {
                    return None;
                };
                (Real::Ready(it), None)
            }
            _ => return None,
        })
    }

    fn marks(&mut self, end: End) -> Option<LaneMarks> {
        if let Some(known) = self.marks.get(&end) {
            return *known;
        }
        let marks = match self.make(end) {
            Some(Real::Consumer(it)) => Some(it.lane().marks()),
            Some(Real::Producer(it)) => Some(it.lane().marks()),
            Some(Real::Idle(it)) => Some(it.marks()),
            Some(Real::Ready(it)) => Some(it.marks()),
            Some(Real::Refreshing) | None => None,
        };
        self.marks.insert(end, marks);
        marks
    }

    fn sub_ticket(&self, message: Message) -> Option<&SignedSubTicket> {
        match &self.sent.get(message.0 as usize)?.0 {
            Sent::Ticket(ticket) => Some(ticket),
            _ => None,
        }
    }

    fn sub_receipt(&self, message: Message) -> Option<&SignedSubReceipt> {
        match &self.sent.get(message.0 as usize)?.0 {
            Sent::Receipt(receipt) => Some(receipt),
            _ => None,
        }
    }

    fn evidence(&self, message: Message) -> Option<SubEvidence> {
        match &self.sent.get(message.0 as usize)?.0 {
            Sent::Ticket(ticket) => Some(ticket.evidence()),
            Sent::Receipt(receipt) => Some(receipt.evidence()),
            Sent::Next(..) => None,
        }
    }

    /// A part of a line as the ledger takes it, if it is one and both its proofs hold.
    fn exchanges(&self, messages: &[Message]) -> Option<Vec<SubExchange>> {
        let (first, rest) = messages.split_first()?;
        let mut run = SubRunBuilder::of(&self.evidence(*first)?);
        for next in rest {
            if !run.push(&self.evidence(*next)?) {
                return None;
            }
        }
        run.finish().verified(&BUNDLE.context()).ok()
    }
}

fn answered(rekeyed: Result<Rekeyed, NotRekeyed>) -> Option<Rekeyed> {
    rekeyed.ok()
}

/// A checkpoint of a stream of which nothing is said but whether it ends.
fn claim(last: bool) -> Option<CheckpointClaim> {
    let mut bytes = [0; CheckpointClaim::LEN];
    // Its running digest, which is never zeros.
    bytes[8] = 1;
    bytes[CheckpointClaim::LEN - 1] = u8::from(last);
    CheckpointClaim::from_bytes(&bytes).ok()
}

fn base() -> Option<&'static Base> {
    static BASE: OnceLock<Option<Base>> = OnceLock::new();
    BASE.get_or_init(make_base).as_ref()
}

/// A lane that was opened, and an exchange whose two directions stream.
fn make_base() -> Option<Base> {
    let (context, mut rng) = (BUNDLE.context(), ChaCha20Rng::from_seed([7; 32]));
    let (tickets, receipts) = (BUNDLE.key(Signs::Tickets), BUNDLE.key(Signs::Receipts));
    let mut consumers = consumer::Lanes::new(context.clone(), BUNDLE.secret(), 1);
    let mut producers = producer::Lanes::new(context.clone(), BUNDLE.secret(), 1);
    let fresh = consumers.fresh().ok()?;
    let (opening, ticket) = fresh.open(LOG_HEAD, None, &mut rng).ok()?;
    let (opened, _) = producers.open(&ticket.sign(&tickets)).ok()?;
    let (ready, receipt) = opened.answer(LOG_HEAD, clock(0), &mut rng).ok()?;
    let idle = opening.receive(&receipt.sign(&receipts), local(0)).ok()?;
    let first = FirstContent::new(b"POST /", DigestKind::Sha256, Padding::None).ok()?;
    let begun = idle.begin(first.claim(), local(0), BUDGET, &mut rng).ok()?;
    let (waiting, ticket, outgoing) = begun;
    let ticket = ticket.sign(&tickets);
    let mut wire = Vec::new();
    first.seal(outgoing, &mut wire).ok()?;
    let Ok(Accepted::Call(answering, incoming)) = ready.accept(&ticket) else {
        return None;
    };
    let (header, sealed) = segment(&wire)?;
    let call = Pending::new(context, incoming)
        .receive(header, sealed)
        .ok()?;
    let (begun, _) = call.begin(clock(0)).ok()?;
    let first = FirstContent::new(b"200", DigestKind::Sha256, Padding::None).ok()?;
    let answer = begun.answer(first.claim());
    let concluded = answering.conclude(answer, clock(0), &mut rng).ok()?;
    let receipt = concluded.receipt.sign(&receipts);
    let received = waiting.receive(&receipt, local(0)).ok()?;
    let (After::Streaming(ours), After::Streaming(theirs)) = (received.lane, concluded.lane) else {
        return None;
    };
    Some(Base {
        ticket: ticket.unverified().body().hash(),
        consumer: [ours.lane().steal(), ours.steal()],
        producer: [theirs.lane().steal(), theirs.steal()],
    })
}

/// Randomness of its own for each step from each state.
fn rng(from: End, step: Step) -> ChaCha20Rng {
    ChaCha20Rng::from_seed(Sha256::digest(format!("{from:?} {step:?}")).into())
}
