//! The line of an exchange's sub-tickets and sub-receipts, as both ends keep it.

use std::marker::PhantomData;

use crate::v2::{
    body::{BodyHash, Direction},
    checkpoint::{Checkpoint, Mark, Place},
    message::Side,
    proxy::{Epoch, Epochs},
    rekey::{SubHead, SubReceipt, SubTicket},
    schedule::{StreamRoot, StreamStep, session},
    suite::Suite,
};

use super::{
    core::{Core, LaneMark},
    history::History,
};

/// Where the line stands.
pub struct Line {
    pub(super) root: StreamRoot,
    pub(super) place: Place,
    /// Of the last sub-receipt, or at first of the ticket.
    pub(super) last: BodyHash,
    /// What this end signed of its own direction.
    pub(super) own: History,
    /// Where the directions went on in the present epoch.
    at: Marks,
}

/// A checkpoint of each direction.
#[derive(Clone, Copy)]
pub(super) struct Marks {
    pub(super) request: Mark,
    pub(super) response: Mark,
}

impl Line {
    pub(super) fn new(root: StreamRoot, n: u64, ticket: BodyHash) -> Self {
        Self {
            root,
            place: Place::first(n, ticket),
            last: ticket,
            own: History::new(),
            at: Marks::NONE,
        }
    }

    /// Where a direction went on in the present epoch, as its end has said.
    pub(super) fn at(&self, direction: Direction) -> Mark {
        match direction {
            Direction::Request => self.at.request,
            Direction::Response => self.at.response,
        }
    }

    /// Whether a direction's last checkpoint is where its end says that it ended.
    pub(super) fn ends(&self, last: &Checkpoint) -> bool {
        let earlier = last.place.k < self.place.k && last.mark() == self.at(last.direction);
        last.place == self.place || earlier
    }

    /// The hash of the last sub-receipt, for the next ticket to name.
    pub(super) fn receipt(&self) -> Option<BodyHash> {
        (self.place.k > 0).then_some(self.last)
    }

    /// Of the last sub-receipt, if there is one.
    pub(super) fn mark(&self, lane: u16) -> Option<LaneMark> {
        (self.place.k > 0).then_some(LaneMark {
            lane,
            n: self.place.n,
            k: self.place.k,
            hash: self.last,
        })
    }

    /// The lane as it goes on after the exchange; none if it was not re-keyed.
    pub(super) fn after(&self, core: &Core) -> Option<Core> {
        (self.place.k > 0).then(|| core.after_streams(&self.root))
    }

    /// What the two messages make of the line; nothing changes. The sub-receipt's key
    /// commitment is not looked at.
    pub(super) fn step(
        &self,
        ticket: &SubTicket,
        receipt: &SubReceipt,
        agreed: &[u8],
    ) -> (StreamStep, Place) {
        let said = (ticket.body().to_bytes(), receipt.session_bytes());
        let session = session(&self.place.session, &said.0, &said.1);
        let place = Place {
            k: receipt.k,
            session,
            ..self.place
        };
        (self.root.rekey(agreed, &session), place)
    }

    /// Takes on what [`Line::step`] gave.
    pub(super) fn moved(
        &mut self,
        suite: Suite,
        (step, place): (StreamStep, Place),
        last: BodyHash,
        at: Marks,
    ) -> Epochs {
        let epochs = Epochs {
            request: epoch(suite, (place, at.request), step.commitment, step.request),
            response: epoch(suite, (place, at.response), step.commitment, step.response),
        };
        self.at = at;
        (self.root, self.place, self.last) = (step.root, place, last);
        epochs
    }

    /// A head of this exchange, at epoch `k`.
    pub(super) fn head<S: Side>(
        &self,
        core: &Core,
        k: u32,
        previous: BodyHash,
        Marks { request, response }: Marks,
        share: Vec<u8>,
    ) -> SubHead<S> {
        SubHead {
            suite: core.context.suite(),
            bundle: core.context.binding().bundle,
            lane: core.lane,
            n: self.place.n,
            k,
            previous,
            request,
            response,
            share,
            key_commitment: None,
            side: PhantomData,
        }
    }
}

impl Marks {
    const NONE: Self = Self {
        request: Mark::NONE,
        response: Mark::NONE,
    };
}

fn epoch<S>(
    suite: Suite,
    (place, mark): (Place, Mark),
    commitment: [u8; 32],
    key: crate::v2::schedule::MessageKey,
) -> Epoch<S> {
    Epoch {
        suite,
        place,
        mark,
        commitment,
        key,
        side: PhantomData,
    }
}

/// Copies for the demonstration of a theft.
#[cfg(feature = "state-export")]
impl Line {
    pub(super) fn steal(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.root.as_bytes());
        self.place.steal(out);
        out.extend_from_slice(&self.last.0);
        for mark in [self.own.last(), self.at.request, self.at.response] {
            out.extend_from_slice(&mark.to_bytes());
        }
    }

    pub(super) fn from_stolen(
        reader: &mut crate::v2::fields::Reader<'_>,
    ) -> Result<Self, crate::v2::error::HeadError> {
        Ok(Self {
            root: StreamRoot::from_stolen(reader.array()?),
            place: Place::from_stolen(reader)?,
            last: BodyHash(reader.array()?),
            own: History::from_last(Mark::read(reader)?),
            at: Marks {
                request: Mark::read(reader)?,
                response: Mark::read(reader)?,
            },
        })
    }
}
