//! A bundle's lanes at the producer's end: each number is used once, in the order in which
//! the network may have brought them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use thiserror::Error;

use crate::v2::{
    context::Context,
    enclave::core::{Core, LaneMarks},
    error::{HeadError, LaneError, LanesError},
    gate::Gate,
    message::SignedTicket,
    mode::Reason,
    proof::Unsigned,
    rekey::SignedSubTicket,
    schedule::{BundleKeys, BundleSecret},
    transient::Transient,
};

use super::{
    standing::NotAccepted,
    states::{Fresh, Opened},
    told::SubStanding,
};

/// A bundle as its producer holds it.
pub struct Lanes {
    context: Arc<Context>,
    keys: BundleKeys,
    max_lanes: u16,
    /// A bit for each number up to the highest that was used.
    used: Vec<u64>,
    highest: Option<u16>,
    open: BTreeSet<u16>,
    ended: BTreeMap<u16, LaneMarks>,
}

/// Why a lane was not opened.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpeningError {
    /// Its number cannot be used.
    #[error(transparent)]
    Lanes(#[from] LanesError),
    /// Its ticket is not one that opens it.
    #[error(transparent)]
    Ticket(#[from] NotAccepted),
    /// It cannot be answered.
    #[error(transparent)]
    Answer(#[from] LaneError),
}

impl Lanes {
    /// A bundle with no lanes yet. Nobody may make it twice of one secret: its lanes would
    /// start over.
    pub fn new(context: Arc<Context>, secret: BundleSecret, max_lanes: u16) -> Self {
        Self {
            context,
            keys: secret.into_keys(),
            max_lanes,
            used: Vec::new(),
            highest: None,
            open: BTreeSet::new(),
            ended: BTreeMap::new(),
        }
    }

    /// The gate, for the proxy.
    pub fn gate(&self) -> Gate {
        self.keys.gate(&self.context)
    }

    /// Opens a lane by a ticket 0. A lane that it replaces is no longer counted: its state
    /// is to be dropped and [`Lanes::ended`] told its mark.
    ///
    /// # Errors
    /// [`OpeningError`]; nothing has changed, and the number is not used up.
    pub fn open(&mut self, ticket: &SignedTicket) -> Result<(Opened, Option<u16>), OpeningError> {
        self.open_with(ticket, Ok)
    }

    /// As [`Lanes::open`], if it can be answered as well.
    ///
    /// # Errors
    /// [`OpeningError`], that of `answer` included; nothing has changed, and the number is
    /// not used up.
    pub fn open_with<T>(
        &mut self,
        ticket: &SignedTicket,
        answer: impl FnOnce(Opened) -> Result<T, LaneError>,
    ) -> Result<(T, Option<u16>), OpeningError> {
        let number = ticket.message.header.lane;
        let replaced = self.replaced(ticket);
        self.check(number, replaced)?;
        let opened = answer(self.fresh(number).accept(ticket)?)?;
        self.note(number);
        if let Some(replaced) = replaced {
            self.open.remove(&replaced);
        }
        self.open.insert(number);
        Ok((opened, replaced))
    }

    /// A transient refusal of a ticket 0 that cannot be taken now.
    ///
    /// # Errors
    /// [`OpeningError`]: nothing is to be signed for this ticket.
    pub fn put_off(
        &self,
        ticket: &SignedTicket,
        reason: Reason,
        after: u32,
    ) -> Result<Unsigned<Transient>, OpeningError> {
        let number = ticket.message.header.lane;
        match self.check(number, self.replaced(ticket)) {
            Ok(()) | Err(LanesError::Busy) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.fresh(number).put_off(ticket, reason, after)?)
    }

    /// A lane was closed, replaced, or broke; what it came to is kept.
    pub fn ended(&mut self, marks: impl Into<LaneMarks>) {
        let marks = marks.into();
        let lane = marks.mark.lane;
        if self.is_used(lane) {
            self.open.remove(&lane);
            self.ended.entry(lane).or_insert(marks);
        }
    }

    /// Judges a sub-ticket of a lane that has ended: the ledger compares it.
    ///
    /// # Errors
    /// [`HeadError`]: it is not the consumer's, and proves nothing.
    pub fn judge_sub(&self, ticket: &SignedSubTicket) -> Result<SubStanding, HeadError> {
        ticket.verified(&self.context, ticket.message.lane)?;
        Ok(SubStanding::Elsewhere)
    }

    /// What became of a lane that has ended.
    pub fn mark(&self, lane: u16) -> Option<&LaneMarks> {
        self.ended.get(&lane)
    }

    /// What became of all lanes that have ended, ascending.
    pub fn ended_marks(&self) -> impl Iterator<Item = &LaneMarks> {
        self.ended.values()
    }

    /// The open lane that a ticket 0 gives up.
    fn replaced(&self, ticket: &SignedTicket) -> Option<u16> {
        let part = ticket.message.opening.as_ref()?;
        part.replaces.filter(|lane| self.open.contains(lane))
    }

    fn check(&self, number: u16, replaced: Option<u16>) -> Result<(), LanesError> {
        if self.is_used(number) {
            return Err(LanesError::Used);
        }
        // Numbers ascend without holes; what the network overtook is among the open ones.
        let limit = self.highest.map_or(-1, i32::from) + i32::from(self.max_lanes);
        if i32::from(number) > limit {
            return Err(LanesError::Ahead);
        }
        let open = self.open.len() - usize::from(replaced.is_some());
        match open < usize::from(self.max_lanes) {
            true => Ok(()),
            false => Err(LanesError::Busy),
        }
    }

    fn fresh(&self, number: u16) -> Fresh {
        Fresh {
            core: Core::new(&self.keys, self.context.clone(), number),
        }
    }

    fn is_used(&self, number: u16) -> bool {
        let word = self.used.get(usize::from(number / 64));
        word.is_some_and(|word| word & bit(number) != 0)
    }

    fn note(&mut self, number: u16) {
        let place = usize::from(number / 64);
        if self.used.len() <= place {
            self.used.resize(place + 1, 0);
        }
        self.used[place] |= bit(number);
        self.highest = self.highest.max(Some(number));
    }
}

fn bit(number: u16) -> u64 {
    1 << (number % 64)
}
