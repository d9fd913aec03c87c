//! A lane whose exchange is a stream: the next one waits for both directions' ends.

use std::sync::Arc;

use crate::v2::{
    body::Direction,
    checkpoint::{Checkpoint, CheckpointClaim, CheckpointSigner, Place, SignedCheckpoint},
    context::Context,
    error::{HeadError, LaneError},
    proof::Unsigned,
};

use super::line::Line;

/// A lane after an exchange's receipt.
pub enum After<L> {
    /// The exchange is over.
    Lane(L),
    /// A stream goes on.
    Streaming(Streaming<L>),
}

/// A lane that goes on once its streams are final. A broken stream ends it.
pub struct Streaming<L> {
    lane: L,
    context: Arc<Context>,
    own: Option<CheckpointSigner>,
    peer: Option<(Direction, Place)>,
}

/// A lane beside which an exchange's streams are re-keyed.
pub trait Lined: Sized {
    /// The line of sub-tickets and sub-receipts, if a direction streams.
    fn line(&self) -> Option<&Line>;
    /// The same, to be changed.
    fn line_mut(&mut self) -> Option<&mut Line>;
    /// Whether no sub-ticket waits for its sub-receipt.
    fn is_settled(&self) -> bool;
    /// The lane after the exchange.
    #[must_use]
    fn settled(self) -> Self;
    /// What is kept of its streams' sub-tickets, unless that is stolen with the lane. One that
    /// waits is not copied: its thief signs another in its place.
    #[cfg(feature = "state-export")]
    fn steal_line(&self, out: &mut Vec<u8>);
    /// The same from a stolen state.
    ///
    /// # Errors
    /// [`HeadError::Malformed`].
    #[cfg(feature = "state-export")]
    fn with_line(self, stolen: &[u8]) -> Result<Self, HeadError>;
}

impl<L: Lined> Streaming<L> {
    /// The lane, if no direction streams and no sub-ticket waits.
    pub(super) fn around(
        lane: L,
        context: Arc<Context>,
        own: Option<CheckpointSigner>,
        peer: Option<(Direction, Place)>,
    ) -> After<L> {
        match (&own, &peer) {
            (None, None) if lane.is_settled() => After::Lane(lane.settled()),
            (Some(own), None) if own.is_done() && lane.is_settled() => After::Lane(lane.settled()),
            _ => After::Streaming(Self {
                lane,
                context,
                own,
                peer,
            }),
        }
    }

    /// The lane as it will go on, to judge by it.
    pub fn lane(&self) -> &L {
        &self.lane
    }

    /// The next checkpoint of the direction that this end sends.
    ///
    /// # Errors
    /// [`LaneError::Checkpoint`], [`LaneError::Exhausted`], or [`LaneError::Rekeying`] while a
    /// sub-ticket waits, since that says where the direction goes on in its next epoch.
    /// Nothing has changed.
    pub fn checkpoint(
        &mut self,
        claim: CheckpointClaim,
    ) -> Result<Unsigned<Checkpoint>, LaneError> {
        let own = self.own.as_mut().ok_or(LaneError::Checkpoint)?;
        if !self.lane.is_settled() {
            return Err(LaneError::Rekeying);
        }
        let checkpoint = own.next(claim, &self.context)?;
        if let Some(line) = self.lane.line_mut() {
            line.own.signed(checkpoint.unsigned().mark());
        }
        Ok(checkpoint)
    }

    /// Reads the other direction's checkpoint as the proxy hands it in.
    ///
    /// # Errors
    /// [`HeadError::Malformed`], or [`HeadError::Unexpected`] if that direction is no
    /// stream.
    pub fn read_checkpoint(&self, bytes: &[u8]) -> Result<SignedCheckpoint, HeadError> {
        let (direction, place) = self.peer.ok_or(HeadError::Unexpected)?;
        SignedCheckpoint::from_bytes(direction, place, bytes)
    }

    /// The lane, once this end's direction is final, the other's final checkpoint is shown,
    /// and no sub-ticket waits for its sub-receipt.
    ///
    /// # Errors
    /// [`LaneError::NotFinal`] or [`LaneError::Rekeying`]; [`LaneError::ForeignCheckpoint`] if
    /// the other's key signed that checkpoint in an epoch that was over, or for another history
    /// of ours. Nothing has changed.
    pub fn finish(self, last: Option<&SignedCheckpoint>) -> Result<L, (Box<Self>, LaneError)> {
        let own = self.own.as_ref().is_none_or(CheckpointSigner::is_done);
        let error = match self.peer_ended(last) {
            Ok(()) if !own => LaneError::NotFinal,
            Ok(()) if !self.lane.is_settled() => LaneError::Rekeying,
            Ok(()) => return Ok(self.lane.settled()),
            Err(error) => error,
        };
        Err((Box::new(self), error))
    }

    fn peer_ended(&self, last: Option<&SignedCheckpoint>) -> Result<(), LaneError> {
        let Some((direction, place)) = self.peer else {
            return Ok(());
        };
        let last = last.ok_or(LaneError::NotFinal)?;
        let said = last.unverified();
        let ends = said.is_final()
            && said.direction == direction
            && said.place.is_beside(&place)
            && last.verify(&self.context).is_ok();
        if !ends {
            return Err(LaneError::NotFinal);
        }
        let line = self.lane.line().ok_or(LaneError::NotFinal)?;
        // A sub-receipt that is under way may have changed the epoch already.
        if !line.ends(said) && self.lane.is_settled() {
            return Err(LaneError::ForeignCheckpoint);
        }
        match line.own.compare(&said.peer()) {
            Err(HeadError::ForeignCheckpoint) => Err(LaneError::ForeignCheckpoint),
            _ => Ok(()),
        }
    }

    pub(super) fn lane_mut(&mut self) -> &mut L {
        &mut self.lane
    }

    /// Whether the checkpoint behind this end's switch has not been signed yet.
    pub(super) fn is_due(&self) -> bool {
        self.own.as_ref().is_some_and(CheckpointSigner::is_due)
    }

    /// The streams were re-keyed.
    pub(super) fn own_rekeyed(&mut self, place: Place) {
        if let Some(own) = &mut self.own {
            own.rekeyed(place);
        }
    }
}

/// Copies for the demonstration of a theft.
#[cfg(feature = "state-export")]
impl<L: Lined> Streaming<L> {
    /// What is kept of the streams beside their lane: what a thief takes besides.
    pub fn steal(&self) -> zeroize::Zeroizing<Vec<u8>> {
        let mut out = zeroize::Zeroizing::new(Vec::with_capacity(256));
        out.push(u8::from(self.own.is_some()));
        if let Some(own) = &self.own {
            own.steal(&mut out);
        }
        out.push(u8::from(self.peer.is_some()));
        if let Some((direction, place)) = &self.peer {
            out.push(*direction as u8);
            place.steal(&mut out);
        }
        self.lane.steal_line(&mut out);
        out
    }

    /// A second one from a stolen state, around the lane of another.
    ///
    /// # Errors
    /// [`HeadError::Malformed`].
    pub fn from_stolen(lane: L, context: Arc<Context>, stolen: &[u8]) -> Result<Self, HeadError> {
        let mut reader = crate::v2::fields::Reader::new(stolen);
        let own = match reader.u8()? {
            0 => None,
            _ => Some(CheckpointSigner::from_stolen(&mut reader)?),
        };
        let peer = match reader.u8()? {
            0 => None,
            _ => {
                let direction = crate::v2::checkpoint::stolen::direction(&mut reader)?;
                Some((direction, Place::from_stolen(&mut reader)?))
            }
        };
        Ok(Self {
            lane: lane.with_line(reader.rest())?,
            context,
            own,
            peer,
        })
    }
}
