//! Sub-tickets: the consumer alone begins to re-key its streams, one at a time.

use rand_core::CryptoRng;

use crate::v2::{
    checkpoint::Mark,
    enclave::{
        line::Line,
        streams::{Lined, Streaming},
    },
    error::{HeadError, LaneError},
    proof::Unsigned,
    proxy::Epochs,
    rekey::{SignedSubReceipt, SubEvidence, SubTicket},
};

use super::{
    asking::{Asking, SubReceiptStanding, judge_sub},
    states::{Idle, Waiting},
};

impl Waiting {
    /// Asks to re-key the request's stream, and the response's before it begins.
    ///
    /// # Errors
    /// [`LaneError::NoStream`] unless the request is a stream;
    /// [`LaneError::Rekeying`] while another sub-ticket waits; [`LaneError::Checkpoint`] before
    /// the checkpoint behind the last switch; [`LaneError::Exhausted`]. Nothing has changed.
    pub fn rekey<R: CryptoRng + ?Sized>(
        &mut self,
        rng: &mut R,
    ) -> Result<Unsigned<SubTicket>, LaneError> {
        let flight = &mut self.in_flight;
        match (&mut flight.asking, &self.stream) {
            (Some(_), Some(own)) if own.is_due() => Err(LaneError::Checkpoint),
            (Some(asking), Some(_)) => asking.begin(&flight.core, Mark::NONE, rng),
            _ => Err(LaneError::NoStream),
        }
    }

    /// Takes the sub-receipt that is awaited: from here on checkpoints are of its epoch.
    ///
    /// # Errors
    /// [`HeadError`]; the lane is as it was.
    pub fn rekeyed(&mut self, receipt: &SignedSubReceipt) -> Result<Epochs, HeadError> {
        let flight = &mut self.in_flight;
        let asking = flight.asking.as_mut().ok_or(HeadError::Unexpected)?;
        let epochs = asking.take(&flight.core, receipt)?;
        if let Some(own) = &mut self.stream {
            own.rekeyed(asking.line.place);
        }
        Ok(epochs)
    }

    /// The last sub-receipt that was taken in this exchange: where the producer says that it is
    /// not its own, this proves that somebody signed it with its key.
    pub fn taken(&self) -> Option<&SubEvidence> {
        self.in_flight.asking.as_ref()?.taken.as_ref()
    }

    /// Judges a sub-receipt that nobody awaits.
    ///
    /// # Errors
    /// [`HeadError`]: it is not the producer's, and proves nothing.
    pub fn judge_sub(&self, receipt: &SignedSubReceipt) -> Result<SubReceiptStanding, HeadError> {
        judge_sub(&self.in_flight.core, self.taken(), receipt)
    }
}

impl Streaming<Idle> {
    /// Asks to re-key the streams. `peer` is the response's last verified checkpoint.
    ///
    /// # Errors
    /// [`LaneError::Rekeying`] while another sub-ticket waits; [`LaneError::Checkpoint`] before
    /// the checkpoint behind the last switch; [`LaneError::Exhausted`]. Nothing has changed.
    pub fn rekey<R: CryptoRng + ?Sized>(
        &mut self,
        peer: Mark,
        rng: &mut R,
    ) -> Result<Unsigned<SubTicket>, LaneError> {
        if self.is_due() {
            return Err(LaneError::Checkpoint);
        }
        let lane = self.lane_mut();
        match &mut lane.asking {
            Some(asking) => asking.begin(&lane.core, peer, rng),
            None => Err(LaneError::NoStream),
        }
    }

    /// Takes the sub-receipt that is awaited: from here on checkpoints are of its epoch.
    ///
    /// # Errors
    /// [`HeadError`]; the lane is as it was.
    pub fn rekeyed(&mut self, receipt: &SignedSubReceipt) -> Result<Epochs, HeadError> {
        let lane = self.lane_mut();
        let asking = lane.asking.as_mut().ok_or(HeadError::Unexpected)?;
        let epochs = asking.take(&lane.core, receipt)?;
        let place = asking.line.place;
        self.own_rekeyed(place);
        Ok(epochs)
    }

    /// Judges a sub-receipt that nobody awaits.
    ///
    /// # Errors
    /// [`HeadError`]: it is not the producer's, and proves nothing.
    pub fn judge_sub(&self, receipt: &SignedSubReceipt) -> Result<SubReceiptStanding, HeadError> {
        judge_sub(&self.lane().core, self.taken(), receipt)
    }

    /// As [`Waiting::taken`].
    pub fn taken(&self) -> Option<&SubEvidence> {
        self.lane().asking.as_ref()?.taken.as_ref()
    }
}

impl Lined for Idle {
    fn line(&self) -> Option<&Line> {
        Some(&self.asking.as_ref()?.line)
    }

    fn line_mut(&mut self) -> Option<&mut Line> {
        Some(&mut self.asking.as_mut()?.line)
    }

    fn is_settled(&self) -> bool {
        self.asking.as_deref().is_none_or(Asking::is_settled)
    }

    /// The exchange is over: its line's root leads into the lane's, and is erased.
    fn settled(self) -> Self {
        let Some(asking) = self.asking else {
            return self;
        };
        let line = &asking.line;
        Self {
            core: line.after(&self.core).unwrap_or(self.core),
            asked: asking.asked,
            sub_receipt: line.receipt(),
            sub_evidence: asking.taken,
            asking: None,
            ..self
        }
    }

    #[cfg(feature = "state-export")]
    fn steal_line(&self, out: &mut Vec<u8>) {
        if let Some(asking) = &self.asking {
            asking.line.steal(out);
        }
    }

    #[cfg(feature = "state-export")]
    fn with_line(self, stolen: &[u8]) -> Result<Self, HeadError> {
        if stolen.is_empty() {
            return Ok(self);
        }
        let mut reader = crate::v2::fields::Reader::new(stolen);
        let line = crate::v2::enclave::line::Line::from_stolen(&mut reader)?;
        reader.end()?;
        Ok(Self {
            asking: Some(Box::new(super::asking::Asking::new(line))),
            ..self
        })
    }
}
