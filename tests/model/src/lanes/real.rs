//! The protocol's own state machines, and what is done to them.

use armour_protocol::v2::{
    content::{DigestKind, Padding},
    enclave::{
        consumer::{Fresh, Idle, Opening, Refreshing, Waiting},
        producer::{self, Answering, Ready},
    },
    message::{Side, SignedReceipt, SignedTicket},
    proxy::{Begun, Outgoing, SEGMENT_HEADER_LEN, SegmentHeader, Undecided, WholeContent},
    time::{LocalTime, ProducerTime},
};
use ed25519_dalek::SigningKey;
use rand_chacha::ChaCha20Rng;
use zeroize::Zeroizing;

use super::{
    bundle::{Bundle, Signs, Who},
    names::{Request, Response},
};

/// Lanes that a bundle may have at once.
pub(super) const MAX_LANES: u16 = 2;
/// What openings carry.
pub(crate) const LOG_HEAD: &[u8] = b"a signed log head";
/// Milliseconds between two moments of the model.
const TICK: u64 = 1_000;
/// Milliseconds within which a call is to begin: at its own moment.
pub(crate) const BUDGET: u32 = 500;

/// What is done to a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// A consumer's lane that was never used; it may take the place of the one before it.
    Consumer {
        bundle: Bundle,
        number: u8,
        replaces: bool,
    },
    /// A producer's lanes, of which none is open.
    Producer { bundle: Bundle },
    /// Copied through the bytes that a thief takes.
    Stolen,
    /// The same, and its last receipt is changed.
    Invented,
    /// Opens a lane, or begins a call.
    Begin { who: Who, now: u8 },
    /// A ticket without content.
    Refresh { who: Who, now: u8 },
    /// A receipt.
    Receive { response: Response, now: u8 },
    /// The producer's lanes after an opening.
    Noted { request: Request },
    /// The lane that was opened, after its receipt.
    Open { request: Request, who: Who, now: u8 },
    /// A call's ticket and its content.
    Accept { request: Request },
    /// A ticket without content, and its receipt.
    Bare { request: Request, who: Who, now: u8 },
    /// The call begins: directly before the API's first byte.
    Run { now: u8 },
    /// It does not, since its time is over; and its receipt.
    Late { who: Who, now: u8 },
    /// It never begins; and its receipt.
    Refuse { who: Who, now: u8 },
    /// The API's answer.
    Answer { who: Who, now: u8 },
    /// The API broke off.
    Abort { who: Who, now: u8 },
}

/// A lane, or all of a producer's.
pub(super) enum Real {
    Fresh(Fresh, Option<u16>),
    Opening(Opening),
    Idle(Box<Idle>),
    Waiting(Box<Waiting>),
    Refreshing(Refreshing),
    Lanes(producer::Lanes),
    Ready(Box<Ready>),
    Called(Request, Box<Answering>, Undecided),
    Running(Request, Box<Answering>, Begun),
}

/// What a step gives besides the lane after it.
pub(super) enum Effect {
    None,
    Ticket(Issued),
    Receipt(Given),
    Told(Told),
    /// Whether the lane that was opened takes the place of another.
    Replaces(bool),
}

/// A ticket on the wire.
pub(super) struct Issued {
    pub(super) ticket: SignedTicket,
    /// The sealed content.
    pub(super) body: Vec<u8>,
    pub(super) who: Who,
    pub(super) bundle: Bundle,
    /// When it was issued.
    pub(super) now: u8,
    /// What it carries, if it is a call.
    pub(super) content: Option<Vec<u8>>,
}

/// A receipt on the wire.
pub(super) struct Given {
    pub(super) receipt: SignedReceipt,
    /// The sealed content.
    pub(super) body: Vec<u8>,
    pub(super) who: Who,
    pub(super) bundle: Bundle,
    /// What it answers.
    pub(super) request: Request,
    /// What it carries, if it does.
    pub(super) content: Option<Vec<u8>>,
}

/// What a receipt told the consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// The lane is open, or was refreshed.
    Nothing,
    /// The response, opened and verified.
    Content,
    /// The call was not begun.
    Refused,
    /// It was begun.
    Aborted,
}

/// All that a step may need.
pub(super) struct Taking<'a> {
    pub(super) requests: &'a [Issued],
    pub(super) responses: &'a [Given],
    pub(super) strangers_hold_keys: bool,
    pub(super) bundle: Bundle,
    pub(super) rng: ChaCha20Rng,
}

/// What a thief takes of a lane between two exchanges.
pub(super) enum Kept {
    Idle(Zeroizing<Vec<u8>>),
    Ready(Zeroizing<Vec<u8>>),
}

impl Kept {
    pub(super) fn of(real: &Real) -> Option<Self> {
        match real {
            Real::Idle(lane) => Some(Self::Idle(lane.steal())),
            Real::Ready(lane) => Some(Self::Ready(lane.steal())),
            _ => None,
        }
    }

    pub(super) fn make(&self, bundle: Bundle) -> Option<Real> {
        let context = bundle.context();
        match self {
            Self::Idle(stolen) => {
                let lane = Idle::from_stolen(context, stolen).ok()?;
                Some(Real::Idle(Box::new(lane)))
            }
            Self::Ready(stolen) => {
                let lane = Ready::from_stolen(context, stolen).ok()?;
                Some(Real::Ready(Box::new(lane)))
            }
        }
    }
}

impl Taking<'_> {
    /// Takes a step; nothing if the lane does not take it.
    pub(super) fn take(mut self, before: Option<Real>, step: Step) -> Option<(Real, Effect)> {
        match step {
            Step::Consumer { .. }
            | Step::Begin { .. }
            | Step::Refresh { .. }
            | Step::Receive { .. }
            | Step::Invented => self.at_consumer(before, step),
            Step::Stolen => {
                let copy = Kept::of(&before?)?.make(self.bundle)?;
                Some((copy, Effect::None))
            }
            _ => self.at_producer(before, step),
        }
    }

    pub(super) fn key(&self, signs: Signs, who: Who) -> SigningKey {
        match who {
            Who::Stranger if !self.strangers_hold_keys => SigningKey::from_bytes(&[9; 32]),
            _ => self.bundle.key(signs),
        }
    }

    pub(super) fn issued(&self, request: Request) -> Option<&Issued> {
        self.requests.get(request.0 as usize)
    }

    pub(super) fn given(&self, response: Response) -> Option<&Given> {
        self.responses.get(response.0 as usize)
    }
}

/// The consumer's clock, which is a thousandth fast.
pub(crate) fn local(now: u8) -> LocalTime {
    LocalTime(70 + u64::from(now) * (TICK + TICK / 1_000))
}

/// The producer's clock.
pub(crate) fn clock(now: u8) -> ProducerTime {
    ProducerTime(500 + u64::from(now) * TICK)
}

/// Whether more time has passed since a call was issued than it had.
pub(super) fn is_late(issued: u8, now: u8) -> bool {
    u64::from(now.saturating_sub(issued)) * TICK > u64::from(BUDGET)
}

pub(super) fn whole(content: &[u8]) -> Option<WholeContent<'_>> {
    WholeContent::new(content, DigestKind::Sha256, Padding::None).ok()
}

/// Seals content under keys that have gone through the enclave's door.
pub(super) fn seal<S: Side>(content: &[u8], outgoing: &Outgoing<S>) -> Option<Vec<u8>> {
    let outgoing = Outgoing::<S>::from_bytes(&outgoing.to_bytes()).ok()?;
    let mut body = Vec::new();
    whole(content)?.seal(outgoing, &mut body).ok()?;
    Some(body)
}

/// The one segment of whole content.
pub(crate) fn segment(body: &[u8]) -> Option<(SegmentHeader, &[u8])> {
    let (header, sealed) = body.split_first_chunk::<SEGMENT_HEADER_LEN>()?;
    Some((SegmentHeader::from_bytes(*header).ok()?, sealed))
}
