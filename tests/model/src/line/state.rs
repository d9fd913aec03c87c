//! What the streams are at a moment, and what may happen next.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    ledger::Ledger,
    real::{CONSUMER, End, Lines, Message, PRODUCER},
};
use crate::lanes::Who;

/// How much may happen, and what is taken for granted.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Sub-tickets that the consumer signs.
    pub asks: u8,
    /// Sub-tickets that a copy of it signs.
    pub stolen_asks: u8,
    /// Sub-tickets that a copy of the producer answers.
    pub stolen_answers: u8,
    /// The answer to a report may get lost; then the same is reported again.
    pub lossy_reports: bool,
    /// Sub-tickets and sub-receipts are reported.
    pub reports: bool,
    /// The consumer's machine may be put back to an earlier state, once.
    pub resumes: bool,
}

impl Bounds {
    /// Nobody steals: messages are lost, late, and come again, as reports do.
    pub const HONEST: Self = Self {
        asks: 3,
        stolen_asks: 0,
        stolen_answers: 0,
        lossy_reports: true,
        reports: true,
        resumes: false,
    };
    /// The consumer is copied inside the streams, at any moment.
    pub const CONSUMER_COPIED: Self = Self {
        asks: 2,
        stolen_asks: 2,
        lossy_reports: false,
        ..Self::HONEST
    };
    /// The producer is.
    pub const PRODUCER_COPIED: Self = Self {
        asks: 2,
        stolen_answers: 2,
        lossy_reports: false,
        ..Self::HONEST
    };
}

/// The model: bounds, and the real lanes behind it.
#[derive(Clone)]
pub struct Streams {
    pub(super) bounds: Bounds,
    /// The lanes.
    pub lines: Arc<Lines>,
}

/// A moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    pub(super) consumer: Consumer,
    pub(super) producer: End,
    /// A copy of the consumer's end.
    pub(super) thief: Option<End>,
    /// A copy of the producer's.
    pub(super) double: Option<End>,
    /// Sent and never taken out: loss is what is never delivered, a duplicate is what is
    /// delivered again, and any order and any delay are possible.
    pub(super) sent: BTreeSet<Message>,
    /// Yet to be reported by either end.
    pub(super) reports: [Vec<Message>; 2],
    /// What the producer has reported beside its own line.
    pub(super) strays: BTreeSet<Message>,
    pub(super) ledger: Ledger,
    pub(super) seen: Seen,
    pub(super) spent: Spent,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Consumer {
    pub(super) who: Who,
    pub(super) end: End,
    /// The sub-ticket that waits for its sub-receipt.
    pub(super) waits: Option<Message>,
    /// The sub-receipts that it took.
    pub(super) taken: Vec<Message>,
    /// An earlier state of the machine.
    pub(super) snapshot: Option<(End, Option<Message>)>,
}

/// What properties are about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Seen {
    /// The producer has answered a copy's sub-ticket.
    pub(super) served: bool,
    /// The consumer has taken a copy's sub-receipt.
    pub(super) believed: bool,
    /// An end did not take what the other sent it, though it was its turn and nobody was copied.
    pub(super) failed: bool,
    /// How often the streams were re-keyed at the consumer's end.
    pub(super) rekeyed: u8,
    /// The streams have ended, and the lane's next ticket was taken.
    pub(super) went_on: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Spent {
    pub(super) asks: u8,
    pub(super) stolen_asks: u8,
    pub(super) stolen_answers: u8,
    /// The streams have ended at both ends.
    pub(super) finished: bool,
    pub(super) next: bool,
}

/// What may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    ConsumerAsks,
    ConsumerTakes(Message),
    ProducerAnswers(Message),
    /// Both streams end at both ends, as far as these agree.
    StreamsEnd,
    ConsumerGoesOn,
    ProducerGoesOn(Message),
    ConsumerReports {
        answered: bool,
    },
    ProducerReports {
        answered: bool,
    },
    ConsumerBeats,
    ProducerBeats,
    ConsumerShows,
    ConsumerIsCopied,
    ThiefAsks,
    ThiefTakes(Message),
    ProducerIsCopied,
    DoubleAnswers(Message),
    ConsumerSnapshot,
    ConsumerResumes,
}

impl Default for State {
    fn default() -> Self {
        Self {
            consumer: Consumer {
                who: Who::Owner,
                end: CONSUMER,
                waits: None,
                taken: Vec::new(),
                snapshot: None,
            },
            producer: PRODUCER,
            thief: None,
            double: None,
            sent: BTreeSet::new(),
            reports: Default::default(),
            strays: BTreeSet::new(),
            ledger: Ledger::default(),
            seen: Seen::default(),
            spent: Spent::default(),
        }
    }
}
