//! All lanes met so far: each step is gone through once and remembered.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use armour_protocol::v2::{
    body::Body,
    ledger::{Exchange, Verdict},
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use sha2::{Digest, Sha256};

use super::{
    bundle::{Bundle, Who},
    names::{Accepted, Item, Lane, Request, Response},
    real::{Effect, Given, Issued, Kept, Real, Step, Taking, Told, is_late},
};

/// All states, messages and steps met so far.
#[derive(Default)]
pub struct Lanes {
    strangers_hold_keys: bool,
    inner: Mutex<Inner>,
}

#[derive(Default)]
pub(super) struct Inner {
    /// How each state comes from the one before.
    pub(super) histories: Vec<History>,
    pub(super) known: HashMap<(Option<Lane>, Step), Option<Outcome>>,
    pub(super) requests: Vec<Issued>,
    pub(super) responses: Vec<Given>,
    pub(super) owned: HashMap<(Option<Lane>, Item), bool>,
    pub(super) standings: HashMap<(Lane, Request), Accepted>,
    pub(super) clones: HashMap<(Lane, Response), bool>,
    pub(super) past: HashMap<(Lane, u8), bool>,
    pub(super) shown: HashMap<(Lane, u64), Option<Response>>,
    pub(super) lengths: HashMap<Vec<Item>, usize>,
    pub(super) runs: HashMap<Vec<Item>, Option<Vec<Exchange>>>,
    pub(super) verdicts: HashMap<(Vec<Item>, Vec<Item>), Option<Verdict>>,
    /// Messages of a legitimate end that its peer did not take, though it was their turn.
    pub(super) failures: u32,
}

pub(super) struct History {
    pub(super) from: Option<Lane>,
    step: Step,
    bundle: Bundle,
    /// Between two exchanges, what a thief would take: the lane is made again from it.
    kept: Option<Kept>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    lane: Lane,
    gave: Gave,
}

#[derive(Debug, Clone, Copy)]
enum Gave {
    Nothing,
    Request(Request),
    Response(Response),
    Told(Told),
    Replaces(bool),
}

impl Lanes {
    /// No lanes. `strangers_hold_keys`: those who should hold no key do.
    pub fn new(strangers_hold_keys: bool) -> Self {
        Self {
            strangers_hold_keys,
            inner: Mutex::default(),
        }
    }

    /// A consumer's lane that was never used.
    pub fn consumer(&self, bundle: Bundle, number: u8, replaces: bool) -> Option<Lane> {
        let step = Step::Consumer {
            bundle,
            number,
            replaces,
        };
        self.step(None, step).map(|outcome| outcome.lane)
    }

    /// A producer's lanes, of which none is open.
    pub fn producer(&self, bundle: Bundle) -> Option<Lane> {
        let outcome = self.step(None, Step::Producer { bundle })?;
        Some(outcome.lane)
    }

    /// A copy of the lane. Between two exchanges it is made of the bytes that a thief
    /// takes; else the whole memory is copied.
    pub fn stolen(&self, lane: Lane) -> Lane {
        let copy = self.step(Some(lane), Step::Stolen);
        copy.map_or(lane, |outcome| outcome.lane)
    }

    /// A copy whose last receipt nobody has signed.
    pub fn invented(&self, lane: Lane) -> Option<Lane> {
        let outcome = self.step(Some(lane), Step::Invented)?;
        Some(outcome.lane)
    }

    /// Issues a lane's next ticket: it opens the lane, or begins a call.
    pub fn begin(&self, lane: Lane, who: Who, now: u8) -> Option<(Lane, Request)> {
        self.step(Some(lane), Step::Begin { who, now })?.request()
    }

    /// Issues a ticket without content.
    pub fn refresh(&self, lane: Lane, who: Who, now: u8) -> Option<(Lane, Request)> {
        self.step(Some(lane), Step::Refresh { who, now })?.request()
    }

    /// Takes a receipt, if it is one to this lane.
    pub fn receive(&self, lane: Lane, response: Response, now: u8) -> Option<(Lane, Told)> {
        let outcome = self.step(Some(lane), Step::Receive { response, now })?;
        match outcome.gave {
            Gave::Told(told) => Some((outcome.lane, told)),
            _ => None,
        }
    }

    /// Opens a lane by a ticket 0: the producer's lanes after it, whether it takes
    /// another's place, the lane, its receipt.
    pub fn open(
        &self,
        lanes: Lane,
        request: Request,
        who: Who,
        now: u8,
    ) -> Option<(Lane, bool, Lane, Response)> {
        let noted = self.step(Some(lanes), Step::Noted { request })?;
        let opened = self.step(Some(lanes), Step::Open { request, who, now })?;
        let (lane, response) = opened.response()?;
        match noted.gave {
            Gave::Replaces(replaces) => Some((noted.lane, replaces, lane, response)),
            _ => None,
        }
    }

    /// Accepts a call's ticket.
    pub fn accept(&self, lane: Lane, request: Request) -> Option<Lane> {
        let outcome = self.step(Some(lane), Step::Accept { request })?;
        Some(outcome.lane)
    }

    /// Accepts and answers a ticket without content.
    pub fn bare(
        &self,
        lane: Lane,
        request: Request,
        who: Who,
        now: u8,
    ) -> Option<(Lane, Response)> {
        let step = Step::Bare { request, who, now };
        self.step(Some(lane), step)?.response()
    }

    /// Begins the call, unless it is late.
    pub fn run(&self, lane: Lane, now: u8) -> Option<Lane> {
        let outcome = self.step(Some(lane), Step::Run { now })?;
        Some(outcome.lane)
    }

    /// Concludes a call that is late.
    pub fn late(&self, lane: Lane, who: Who, now: u8) -> Option<(Lane, Response)> {
        self.step(Some(lane), Step::Late { who, now })?.response()
    }

    /// Refuses a call for good.
    pub fn refuse(&self, lane: Lane, who: Who, now: u8) -> Option<(Lane, Response)> {
        self.step(Some(lane), Step::Refuse { who, now })?.response()
    }

    /// Answers a call that has begun.
    pub fn answer(&self, lane: Lane, who: Who, now: u8) -> Option<(Lane, Response)> {
        self.step(Some(lane), Step::Answer { who, now })?.response()
    }

    /// Breaks off a call that has begun.
    pub fn abort(&self, lane: Lane, who: Who, now: u8) -> Option<(Lane, Response)> {
        self.step(Some(lane), Step::Abort { who, now })?.response()
    }

    /// Who issued a ticket, and in which bundle.
    pub fn issuer(&self, request: Request) -> (Who, Bundle) {
        let inner = self.lock();
        let issued = &inner.requests[request.0 as usize];
        (issued.who, issued.bundle)
    }

    /// Who gave a receipt, in which bundle, and to which ticket.
    pub fn giver(&self, response: Response) -> (Who, Bundle, Request) {
        let inner = self.lock();
        let given = &inner.responses[response.0 as usize];
        (given.who, given.bundle, given.request)
    }

    /// A ticket's body, and whether it is a call.
    pub fn ticket(&self, request: Request) -> (Body, bool) {
        let inner = self.lock();
        let issued = &inner.requests[request.0 as usize];
        (issued.ticket.unverified().body(), issued.content.is_some())
    }

    /// Whether a call that begins now has had more time than its consumer gave it.
    pub fn is_overdue(&self, request: Request, now: u8) -> bool {
        is_late(self.lock().requests[request.0 as usize].now, now)
    }

    /// How often a legitimate end did not take its peer's genuine message.
    pub fn failures(&self) -> u32 {
        self.lock().failures
    }

    /// Real lane states and real messages met.
    pub fn met(&self) -> (usize, usize) {
        let inner = self.lock();
        (
            inner.histories.len(),
            inner.requests.len() + inner.responses.len(),
        )
    }

    fn step(&self, from: Option<Lane>, step: Step) -> Option<Outcome> {
        let mut inner = self.lock();
        if let Some(known) = inner.known.get(&(from, step)) {
            return *known;
        }
        let outcome = self.go(&mut inner, from, step);
        inner.known.insert((from, step), outcome);
        outcome
    }

    /// Takes a step for the first time.
    fn go(&self, inner: &mut Inner, from: Option<Lane>, step: Step) -> Option<Outcome> {
        let bundle = match (from, step) {
            (Some(lane), _) => inner.history(lane).bundle,
            (None, Step::Consumer { bundle, .. } | Step::Producer { bundle }) => bundle,
            (None, _) => return None,
        };
        let before = match from {
            Some(lane) => Some(self.make(inner, lane)?),
            None => None,
        };
        let (after, effect) = self.taking(inner, from, step, bundle).take(before, step)?;
        let lane = Lane(u32::try_from(inner.histories.len()).ok()?);
        inner.histories.push(History {
            from,
            step,
            bundle,
            kept: Kept::of(&after),
        });
        let gave = match effect {
            Effect::None => Gave::Nothing,
            Effect::Told(told) => Gave::Told(told),
            Effect::Replaces(replaces) => Gave::Replaces(replaces),
            Effect::Ticket(issued) => {
                let request = Request(u32::try_from(inner.requests.len()).ok()?);
                inner.requests.push(issued);
                Gave::Request(request)
            }
            Effect::Receipt(given) => {
                let response = Response(u32::try_from(inner.responses.len()).ok()?);
                inner.responses.push(given);
                Gave::Response(response)
            }
        };
        Some(Outcome { lane, gave })
    }

    /// Makes the real lane of a state by going through its history, from the last place
    /// between two exchanges on.
    pub(super) fn make(&self, inner: &Inner, lane: Lane) -> Option<Real> {
        let mut steps = Vec::new();
        let mut real = None;
        let mut at = Some(lane);
        while let Some(lane) = at {
            let history = inner.history(lane);
            if let Some(kept) = &history.kept {
                real = Some(kept.make(history.bundle)?);
                break;
            }
            steps.push(history);
            at = history.from;
        }
        for history in steps.into_iter().rev() {
            let taking = self.taking(inner, history.from, history.step, history.bundle);
            real = Some(taking.take(real, history.step)?.0);
        }
        real
    }

    fn taking<'a>(
        &self,
        inner: &'a Inner,
        from: Option<Lane>,
        step: Step,
        bundle: Bundle,
    ) -> Taking<'a> {
        Taking {
            requests: &inner.requests,
            responses: &inner.responses,
            strangers_hold_keys: self.strangers_hold_keys,
            bundle,
            rng: rng(from, step),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    pub(super) fn history(&self, lane: Lane) -> &History {
        &self.histories[lane.0 as usize]
    }
}

impl Outcome {
    fn request(self) -> Option<(Lane, Request)> {
        match self.gave {
            Gave::Request(request) => Some((self.lane, request)),
            _ => None,
        }
    }

    fn response(self) -> Option<(Lane, Response)> {
        match self.gave {
            Gave::Response(response) => Some((self.lane, response)),
            _ => None,
        }
    }
}

/// Randomness of its own for each step from each state.
fn rng(from: Option<Lane>, step: Step) -> ChaCha20Rng {
    ChaCha20Rng::from_seed(Sha256::digest(format!("{from:?} {step:?}")).into())
}
