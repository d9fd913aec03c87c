//! The protocol's real lanes behind small numbers.
//!
//! A lane's state follows from what was done to it, since randomness here is derived
//! from the history. So a state is the number of its history, and the lane itself is
//! made again by going through it; each step is gone through once and remembered.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use armour_protocol::{
    Suite,
    bundle::{BundleContext, BundleSecret},
    consumer::{IdleLane, WaitingLane},
    ledger::vouched,
    message::{RequestHead, ResponseHead},
    producer::{AnsweringLane, ReadyLane, Standing},
    ticket::SignedTicket,
};
use ed25519_dalek::SigningKey;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use sha2::{Digest, Sha256};

/// A lane's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane(u32);

/// A request's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Request(pub u32);

/// A response's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Response(u32);

/// Who issued a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Who {
    /// The legitimate consumer.
    Owner,
    /// Somebody with a copy of its state.
    Thief,
}

/// What a request is to a producer's lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// The next: the lane after it.
    Next(Lane),
    /// The one accepted last.
    Repeat,
    /// A contradiction of that.
    Conflict,
    /// The ledger has to judge.
    Elsewhere,
    /// Not a message of this lane.
    Refused,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    Consumer { bundle: u8, lane: u8 },
    Producer { bundle: u8, lane: u8, life: u8 },
    Begin(Who),
    Receive(Response),
    Accept(Request),
    Respond,
}

enum Real {
    Idle(IdleLane),
    Waiting(WaitingLane),
    Ready(ReadyLane),
    Answering(AnsweringLane),
}

struct Issued {
    head: RequestHead,
    key: [u8; 32],
    who: Who,
    bundle: u8,
}

/// All states, messages and steps met so far.
pub struct Lanes {
    signer: SigningKey,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// How each state comes from the one before.
    histories: Vec<(Option<Lane>, Step)>,
    known: HashMap<(Option<Lane>, Step), Outcome>,
    owned: HashMap<(Option<Lane>, Request), bool>,
    vouched: HashMap<Request, bool>,
    requests: Vec<Issued>,
    responses: Vec<ResponseHead>,
    /// Ends that derived different keys for one message.
    disagreements: u32,
}

#[derive(Debug, Clone, Copy)]
enum Outcome {
    Lane(Lane),
    Begun(Lane, Request),
    Accepted(Accepted),
    Responded(Lane, Response),
    Refused,
}

impl Default for Lanes {
    fn default() -> Self {
        Self {
            signer: SigningKey::from_bytes(&[1; 32]),
            inner: Mutex::default(),
        }
    }
}

impl Lanes {
    /// A consumer's lane that was never used.
    pub fn consumer(&self, bundle: u8, lane: u8) -> Option<Lane> {
        match self.step(None, Step::Consumer { bundle, lane }) {
            Outcome::Lane(lane) => Some(lane),
            _ => None,
        }
    }

    /// A producer's lane that was never used, in one of its lives.
    pub fn producer(&self, bundle: u8, lane: u8, life: u8) -> Option<Lane> {
        match self.step(None, Step::Producer { bundle, lane, life }) {
            Outcome::Lane(lane) => Some(lane),
            _ => None,
        }
    }

    /// Issues a lane's next ticket.
    pub fn begin(&self, lane: Lane, who: Who) -> Option<(Lane, Request)> {
        match self.step(Some(lane), Step::Begin(who)) {
            Outcome::Begun(lane, request) => Some((lane, request)),
            _ => None,
        }
    }

    /// Takes a response, if it is one to this lane.
    pub fn receive(&self, lane: Lane, response: Response) -> Option<Lane> {
        match self.step(Some(lane), Step::Receive(response)) {
            Outcome::Lane(lane) => Some(lane),
            _ => None,
        }
    }

    /// Judges a request, and accepts it if it is the next.
    pub fn accept(&self, lane: Lane, request: Request) -> Accepted {
        match self.step(Some(lane), Step::Accept(request)) {
            Outcome::Accepted(accepted) => accepted,
            _ => Accepted::Refused,
        }
    }

    /// Answers what was accepted.
    pub fn respond(&self, lane: Lane) -> Option<(Lane, Response)> {
        match self.step(Some(lane), Step::Respond) {
            Outcome::Responded(lane, response) => Some((lane, response)),
            _ => None,
        }
    }

    /// Whether the ledger's head can be this lane's own work.
    pub fn owns(&self, lane: Option<Lane>, head: Request) -> bool {
        let mut inner = self.lock();
        if let Some(known) = inner.owned.get(&(lane, head)) {
            return *known;
        }
        let ticket = inner.requests[head.0 as usize].head.ticket.ticket;
        let owns = match lane.and_then(|lane| self.make(&mut inner, lane)) {
            Some(Real::Idle(lane)) => lane.owns_head(ticket.n, ticket.hash()),
            Some(Real::Waiting(lane)) => lane.owns_head(ticket.n, ticket.hash()),
            _ => false,
        };
        inner.owned.insert((lane, head), owns);
        owns
    }

    /// Whether a chain that ends with this ticket is its consumer's.
    pub fn vouched(&self, last: Request, tickets: &[SignedTicket]) -> bool {
        let mut inner = self.lock();
        let key = self.signer.verifying_key();
        *inner
            .vouched
            .entry(last)
            .or_insert_with(|| vouched(tickets, &key).is_ok())
    }

    /// A request's ticket.
    pub fn ticket(&self, request: Request) -> SignedTicket {
        self.lock().requests[request.0 as usize].head.ticket
    }

    /// Who issued a request, and of which bundle it is.
    pub fn origin(&self, request: Request) -> (Who, u8) {
        let inner = self.lock();
        let issued = &inner.requests[request.0 as usize];
        (issued.who, issued.bundle)
    }

    /// How often the ends derived different keys for one message.
    pub fn disagreements(&self) -> u32 {
        self.lock().disagreements
    }

    /// Real lane states and real messages met.
    pub fn met(&self) -> (usize, usize) {
        let inner = self.lock();
        (
            inner.histories.len(),
            inner.requests.len() + inner.responses.len(),
        )
    }

    fn step(&self, from: Option<Lane>, step: Step) -> Outcome {
        let mut inner = self.lock();
        if let Some(known) = inner.known.get(&(from, step)) {
            return *known;
        }
        let outcome = self.go(&mut inner, from, step).unwrap_or(Outcome::Refused);
        inner.known.insert((from, step), outcome);
        outcome
    }

    /// Takes a step for the first time.
    fn go(&self, inner: &mut Inner, from: Option<Lane>, step: Step) -> Option<Outcome> {
        let next = Lane(u32::try_from(inner.histories.len()).ok()?);
        let before = match from {
            Some(lane) => Some(self.make(inner, lane)?),
            None => None,
        };
        let outcome = match (before, step) {
            (None, Step::Consumer { .. } | Step::Producer { .. }) => Outcome::Lane(next),
            (Some(Real::Idle(lane)), Step::Begin(who)) => {
                let (_, keyed) = lane.begin(&self.signer, &mut rng(from, step)).ok()?;
                let request = Request(u32::try_from(inner.requests.len()).ok()?);
                inner.requests.push(Issued {
                    bundle: keyed.head.ticket.ticket.bundle[0],
                    head: keyed.head,
                    key: *keyed.key.as_bytes(),
                    who,
                });
                Outcome::Begun(next, request)
            }
            (Some(Real::Waiting(lane)), Step::Receive(response)) => {
                let head = inner.responses[response.0 as usize].clone();
                lane.receive(head).ok()?;
                Outcome::Lane(next)
            }
            (Some(Real::Ready(lane)), Step::Accept(request)) => {
                let issued = &inner.requests[request.0 as usize];
                let accepted = match lane.judge(&issued.head.ticket) {
                    Ok(Standing::Next) => match lane.accept(issued.head.clone()) {
                        Ok((_, keyed)) => {
                            inner.disagreements += u32::from(*keyed.key.as_bytes() != issued.key);
                            Accepted::Next(next)
                        }
                        Err(_) => Accepted::Refused,
                    },
                    other => judged(other),
                };
                if !matches!(accepted, Accepted::Next(_)) {
                    return Some(Outcome::Accepted(accepted));
                }
                Outcome::Accepted(accepted)
            }
            (Some(Real::Answering(lane)), Step::Accept(request)) => {
                let ticket = inner.requests[request.0 as usize].head.ticket;
                return Some(Outcome::Accepted(judged(lane.judge(&ticket))));
            }
            (Some(Real::Answering(lane)), Step::Respond) => {
                let (_, keyed) = lane.respond(&mut rng(from, step)).ok()?;
                let response = Response(u32::try_from(inner.responses.len()).ok()?);
                inner.responses.push(keyed.head);
                Outcome::Responded(next, response)
            }
            _ => return None,
        };
        inner.histories.push((from, step));
        Some(outcome)
    }

    /// Makes the real lane of a state by going through its history.
    fn make(&self, inner: &mut Inner, lane: Lane) -> Option<Real> {
        let mut steps = Vec::new();
        let mut at = Some(lane);
        while let Some(lane) = at {
            let (from, step) = inner.histories[lane.0 as usize];
            steps.push((from, step));
            at = from;
        }
        let mut real = None;
        for (from, step) in steps.into_iter().rev() {
            real = Some(match (real, step) {
                (None, Step::Consumer { bundle, lane }) => {
                    let (context, secret) = self.bundle(bundle);
                    Real::Idle(IdleLane::new(context, &secret, lane.into()))
                }
                (None, Step::Producer { bundle, lane, .. }) => {
                    let (context, secret) = self.bundle(bundle);
                    Real::Ready(ReadyLane::new(context, &secret, lane.into()))
                }
                (Some(Real::Idle(lane)), Step::Begin(_)) => {
                    Real::Waiting(lane.begin(&self.signer, &mut rng(from, step)).ok()?.0)
                }
                (Some(Real::Waiting(lane)), Step::Receive(response)) => {
                    let head = inner.responses[response.0 as usize].clone();
                    Real::Idle(lane.receive(head).ok()?.0)
                }
                (Some(Real::Ready(lane)), Step::Accept(request)) => {
                    let head = inner.requests[request.0 as usize].head.clone();
                    Real::Answering(lane.accept(head).ok()?.0)
                }
                (Some(Real::Answering(lane)), Step::Respond) => {
                    Real::Ready(lane.respond(&mut rng(from, step)).ok()?.0)
                }
                _ => return None,
            });
        }
        real
    }

    fn bundle(&self, bundle: u8) -> (Arc<BundleContext>, BundleSecret) {
        let producer = SigningKey::from_bytes(&[2; 32]);
        let context = BundleContext {
            suite: Suite::X25519,
            tenant: [0xa0; 16],
            pair: [0xa1; 16],
            bundle: [bundle; 16],
            consumer: [0xa2; 16],
            producer: [0xa3; 16],
            consumer_key: self.signer.verifying_key(),
            producer_key: producer.verifying_key(),
        };
        (
            Arc::new(context),
            BundleSecret::from_bytes([bundle ^ 0x5a; 32]),
        )
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn judged(standing: armour_protocol::Result<Standing>) -> Accepted {
    match standing {
        Ok(Standing::Repeat) => Accepted::Repeat,
        Ok(Standing::Conflict { .. }) => Accepted::Conflict,
        // The next one while its predecessor is unanswered, too.
        Ok(Standing::Elsewhere { .. } | Standing::Next) => Accepted::Elsewhere,
        Err(_) => Accepted::Refused,
    }
}

/// Randomness of its own for each step from each state.
fn rng(from: Option<Lane>, step: Step) -> ChaCha20Rng {
    ChaCha20Rng::from_seed(Sha256::digest(format!("{from:?} {step:?}")).into())
}
