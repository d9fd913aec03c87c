//! What the system is made of at a moment, and what may happen next.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    bounds::Bounds,
    lanes::{Lane, Lanes, Request, Response},
    ledger::{Entry, Ledger},
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
    pub(super) owner: Owner,
    pub(super) thief: Option<Thief>,
    pub(super) producer: BTreeMap<u8, AtProducer>,
    /// What the producer has yet to report.
    pub(super) reports: Vec<Entry>,
    pub(super) ledger: Ledger,
    pub(super) backup: Option<Ledger>,
    /// The database was restored and nobody has shown it yet.
    pub(super) fence_due: bool,
    /// Sent and never taken out: loss is what is never delivered, a duplicate is what
    /// is delivered again, and any order is possible.
    pub(super) requests: BTreeSet<Request>,
    pub(super) responses: BTreeSet<Response>,
    /// How often the upstream ran each.
    pub(super) ran: BTreeMap<Request, u8>,
    /// Tickets that the producer accepted.
    pub(super) accepted: BTreeSet<Request>,
    /// Of two tickets with one place both were accepted, or one twice.
    pub(super) doubled: bool,
    /// The owner has taken a ticket after the thief had acted.
    pub(super) due: bool,
    /// The owner was told of the thief's draw and took it for nothing.
    pub(super) unnoticed: bool,
    /// Tickets of the thief that nobody remembers any more.
    pub(super) forgotten: bool,
    pub(super) minted: u8,
    pub(super) spent: Spent,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Owner {
    pub(super) at: Option<At>,
    /// Yet to be reported.
    pub(super) reports: Vec<Entry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct At {
    pub(super) bundle: u8,
    pub(super) lane: Lane,
    pub(super) waiting: Option<Request>,
    /// The request waits for the ledger's word.
    pub(super) unsent: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Thief {
    pub(super) bundle: u8,
    pub(super) lane: Lane,
    pub(super) waiting: Option<Request>,
}

/// What the producer's agent knows of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum AtProducer {
    Held([Option<Serving>; 2]),
    /// Superseded, its grace over: its tickets are refused and reported.
    Over,
    /// Its lanes are lost, or it is disconnected.
    Gone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Serving {
    pub(super) lane: Lane,
    /// Accepted and not answered yet.
    pub(super) answering: Option<Request>,
    /// The ledger has it, or need not have it first.
    pub(super) cleared: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Spent {
    pub(super) owner_tickets: u8,
    pub(super) thief_tickets: u8,
    pub(super) draws: u8,
    pub(super) thief_draws: u8,
    pub(super) thief_lane: bool,
    pub(super) owner_crashes: u8,
    pub(super) producer_crashes: u8,
    pub(super) restores: u8,
}

/// What may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    OwnerDraws,
    OwnerBegins,
    OwnerSendsAgain,
    OwnerReceives(Response),
    /// The answer may get lost; then the same is reported again.
    OwnerReports {
        answered: bool,
    },
    OwnerBeats,
    OwnerGivesUp,
    OwnerCrashes,
    Theft,
    ThiefBegins,
    ThiefOpensALane,
    ThiefReceives(Response),
    ThiefDraws,
    Deliver(Request),
    ProducerAnswers(u8, usize),
    ProducerReports {
        answered: bool,
    },
    ProducerLearns(u8),
    ProducerCrashes,
    GraceEnds(u8),
    Backup,
    Restore,
    Fence,
}
