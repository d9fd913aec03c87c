//! What the system is made of at a moment, and what may happen next.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    bounds::Bounds,
    lanes::{Bundle, Item, Lane, Lanes, Request, Response, Who},
    ledger::Ledger,
};

/// The model: bounds, and the real lanes behind it.
#[derive(Clone)]
pub struct System {
    /// How much may happen.
    pub bounds: Bounds,
    /// The lanes.
    pub lanes: Arc<Lanes>,
}

/// A moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct State {
    pub(super) consumer: Consumer,
    pub(super) producer: Producer,
    /// Who holds a copy of the consumer's state.
    pub(super) thief: Option<Thief>,
    /// Who holds a copy of the producer's state.
    pub(super) double: Option<Double>,
    pub(super) ledger: Ledger,
    pub(super) backup: Option<Box<Ledger>>,
    /// The database was restored and nobody has shown it yet.
    pub(super) fence_due: bool,
    /// Sent and never taken out: loss is what is never delivered, a duplicate is what is
    /// delivered again, and any order and any delay are possible.
    pub(super) requests: BTreeSet<Request>,
    pub(super) responses: BTreeSet<Response>,
    pub(super) now: u8,
    pub(super) seen: Seen,
    pub(super) spent: Spent,
}

/// What properties are about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Seen {
    /// How often the API ran each call.
    pub(super) ran: BTreeMap<Request, u8>,
    /// Calls that a receipt of the producer's refused.
    pub(super) refused: BTreeSet<Request>,
    /// Calls that it put off.
    pub(super) put_off: BTreeSet<Request>,
    /// A copy's receipts that the consumer took.
    pub(super) taken: BTreeSet<Response>,
    /// A call began after its time.
    pub(super) overdue: bool,
    /// Content was sealed, or a ticket accepted, on a lane that a stranger opened.
    pub(super) strange: bool,
    /// The consumer was told of a call that it was refused, and it had run.
    pub(super) misled: bool,
    /// What a copy did that nobody remembers any more.
    pub(super) forgotten: bool,
    /// Exchanges that the consumer saw through.
    pub(super) answered: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Consumer {
    pub(super) start: u8,
    pub(super) up: bool,
    pub(super) who: Who,
    pub(super) at: Option<At>,
    /// Bundles that have ended, and how far their lanes came.
    pub(super) past: Vec<(Bundle, [Option<Lane>; 2])>,
    /// Yet to be reported.
    pub(super) reports: Vec<Item>,
    /// An earlier state of the machine.
    pub(super) snapshot: Option<At>,
}

/// A bundle in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct At {
    pub(super) bundle: Bundle,
    pub(super) number: u8,
    pub(super) lane: Lane,
    pub(super) waiting: Option<Request>,
    /// The request waits for the ledger's word.
    pub(super) unsent: bool,
    /// Who signed what opened the lane; none before that.
    pub(super) opened: Option<Who>,
    /// Nothing was signed on the lane.
    pub(super) fresh: bool,
    /// Lane 0 once it was given up.
    pub(super) given_up: Option<Lane>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Producer {
    pub(super) start: u8,
    pub(super) up: bool,
    pub(super) who: Who,
    pub(super) bundles: BTreeMap<Bundle, Held>,
    /// Yet to be reported.
    pub(super) reports: Vec<Item>,
    /// An earlier state of the machine.
    pub(super) snapshot: Option<BTreeMap<Bundle, Held>>,
}

/// A bundle at a producer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Held {
    /// All its lanes.
    pub(super) lanes: Lane,
    pub(super) places: [Option<Serving>; 2],
    /// It has ended.
    pub(super) over: bool,
}

/// A lane at a producer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Serving {
    pub(super) lane: Lane,
    pub(super) call: Call,
    /// The last ticket that was accepted, and one beside it.
    pub(super) seen: Request,
    pub(super) conflict: Option<Request>,
    /// Another took its place.
    pub(super) replaced: bool,
}

/// What a lane does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Call {
    None,
    /// Accepted; `cleared` once the ledger has it or need not have it first.
    Accepted {
        cleared: bool,
    },
    /// Begun, and the API's first byte is not written yet.
    Frozen,
    Running,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Thief {
    pub(super) bundle: Bundle,
    pub(super) lane: Lane,
    pub(super) waiting: bool,
    pub(super) invented: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Double {
    pub(super) bundle: Bundle,
    pub(super) held: Held,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Spent {
    pub(super) tickets: u8,
    pub(super) refreshes: u8,
    pub(super) draws: u8,
    pub(super) refusals: u8,
    pub(super) put_offs: u8,
    pub(super) aborts: u8,
    pub(super) consumer_crashes: u8,
    pub(super) producer_crashes: u8,
    pub(super) restores: u8,
    pub(super) stolen_tickets: u8,
    pub(super) stolen_lane: bool,
    pub(super) stolen_answers: u8,
}

impl Default for Consumer {
    fn default() -> Self {
        Self {
            start: 0,
            up: true,
            who: Who::Owner,
            at: None,
            past: Vec::new(),
            reports: Vec::new(),
            snapshot: None,
        }
    }
}

impl Default for Producer {
    fn default() -> Self {
        Self {
            start: 0,
            up: true,
            who: Who::Owner,
            bundles: BTreeMap::new(),
            reports: Vec::new(),
            snapshot: None,
        }
    }
}

impl At {
    /// How far the bundle's lanes came.
    pub(super) fn lanes(&self) -> [Option<Lane>; 2] {
        let own = Some(self.lane).filter(|_| !self.fresh);
        match self.number {
            0 => [own, None],
            _ => [self.given_up, own],
        }
    }
}

/// What may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Time passes.
    Tick,
    ConsumerDraws,
    /// Opens a lane, or begins a call.
    ConsumerBegins,
    ConsumerRefreshes,
    ConsumerReceives(Response),
    /// The answer may get lost; then the same is reported again.
    ConsumerReports {
        answered: bool,
    },
    ConsumerBeats,
    ConsumerShows,
    ConsumerGivesUpALane,
    ConsumerRetires,
    ConsumerCrashes,
    ConsumerStarts,
    Deliver(Request),
    ProducerPutsOff(Request),
    ProducerBegins(Bundle, usize),
    /// The first byte, after a freeze.
    ProducerWrites(Bundle, usize),
    ProducerRefuses(Bundle, usize),
    ProducerAnswers(Bundle, usize),
    ProducerAborts(Bundle, usize),
    ProducerReports {
        answered: bool,
    },
    ProducerBeats,
    ProducerCrashes,
    ProducerStarts,
    ConsumerIsCopied,
    ThiefBegins,
    ThiefOpensALane,
    ThiefReceives(Response),
    ThiefInvents,
    ProducerIsCopied(Bundle),
    DoubleAnswers(Request),
    Backup,
    Restore,
    Fence,
    ConsumerSnapshot,
    ConsumerResumes,
    ProducerSnapshot,
    ProducerResumes,
}
