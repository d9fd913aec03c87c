//! One end's lanes of a bundle: what is done with them alike, whichever end it is.

use std::collections::BTreeMap;

use armour_protocol::v2::{
    checkpoint::{Checkpoint, CheckpointClaim},
    enclave::{LaneMarks, Lined, Streaming},
    error::LaneError,
    proof::Unsigned,
};

use super::{bound::Bound, failed::Failed};

/// One end's lanes of a bundle: `L` counts them, `T` is one that is open.
pub(super) struct End<L, T> {
    pub(super) bound: Bound,
    pub(super) lanes: L,
    pub(super) open: BTreeMap<u16, T>,
}

/// Which lanes there are, and how far those came that have ended.
pub(super) trait Counted {
    /// One has ended, and came so far.
    fn ended(&mut self, marks: LaneMarks);
    /// How far one came that has ended.
    fn mark(&self, lane: u16) -> Option<LaneMarks>;
    /// The same of all of them.
    fn ended_marks(&self) -> impl Iterator<Item = LaneMarks>;
}

/// An open lane.
pub(super) trait Open: Sized {
    /// How far it came.
    fn marks(&self) -> LaneMarks;
    /// The next checkpoint of the direction that this end sends.
    fn checkpoint(&mut self, claim: CheckpointClaim) -> Result<Unsigned<Checkpoint>, LaneError>;
    /// The lane behind its exchange's streams, if they are final, or as it was and why.
    fn finish(self, last: Option<&[u8]>) -> (Self, Result<(), Failed>);
}

impl<L: Counted, T: Open> End<L, T> {
    pub(super) fn new(bound: Bound, lanes: L) -> Self {
        Self {
            bound,
            lanes,
            open: BTreeMap::new(),
        }
    }

    pub(super) fn give_up(&mut self, lane: u16) -> Result<(), Failed> {
        let lane = self.take(lane)?;
        self.lanes.ended(lane.marks());
        Ok(())
    }

    pub(super) fn checkpoint(&mut self, lane: u16, claim: &[u8]) -> Result<Vec<u8>, Failed> {
        let signer = self.bound.signer()?;
        let claim = CheckpointClaim::from_bytes(claim)?;
        let lane = self.open.get_mut(&lane).ok_or(UNKNOWN)?;
        let signed = lane.checkpoint(claim)?.sign(&*signer);
        Ok(signed.proof().to_bytes())
    }

    pub(super) fn finish(&mut self, number: u16, last: Option<&[u8]>) -> Result<(), Failed> {
        let (lane, result) = self.take(number)?.finish(last);
        self.open.insert(number, lane);
        result
    }

    /// Signs nothing more. What is under way may be answered still at the consumer's end; at
    /// the producer's it stays without a receipt.
    pub(super) fn retire(&mut self) {
        self.bound.retire();
    }

    /// How far each lane came, in no order.
    pub(super) fn marks(&self) -> Vec<LaneMarks> {
        let open = self.open.values().map(Open::marks);
        open.chain(self.lanes.ended_marks()).collect()
    }

    pub(super) fn marks_of(&self, lane: u16) -> Option<LaneMarks> {
        let open = self.open.get(&lane).map(Open::marks);
        open.or_else(|| self.lanes.mark(lane))
    }

    pub(super) fn take(&mut self, lane: u16) -> Result<T, Failed> {
        self.open.remove(&lane).ok_or(UNKNOWN)
    }
}

/// What is behind streams that are final, as their peer's last checkpoint shows; or the streams as
/// they were.
pub(super) fn finished<L: Lined>(
    streaming: Streaming<L>,
    last: Option<&[u8]>,
) -> Result<L, (Box<Streaming<L>>, Failed)> {
    let last = last.map(|last| streaming.read_checkpoint(last));
    match last.transpose() {
        Err(error) => Err((Box::new(streaming), error.into())),
        Ok(last) => streaming
            .finish(last.as_ref())
            .map_err(|(streaming, error)| (streaming, error.into())),
    }
}

/// No such lane is open.
pub(super) const UNKNOWN: Failed = Failed("lane-unknown");
