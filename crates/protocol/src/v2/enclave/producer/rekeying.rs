//! Sub-receipts: the producer answers each sub-ticket once, until the lane's next ticket.

use rand_core::CryptoRng;

use crate::v2::{
    checkpoint::Mark,
    enclave::{
        core::Core,
        line::Line,
        streams::{Lined, Streaming},
    },
    error::{HeadError, LaneError},
    mode::Mode,
    rekey::SignedSubTicket,
};

use super::{
    states::{Answering, Ready},
    told::{NotRekeyed, Rekeyed, SubStanding},
};

impl Answering {
    /// Answers a sub-ticket that comes before the receipt. `peer` is the request's last
    /// verified checkpoint.
    ///
    /// # Errors
    /// [`NotRekeyed`]; the lane is as it was.
    pub fn rekey<R: CryptoRng + ?Sized>(
        &mut self,
        ticket: &SignedSubTicket,
        peer: Mark,
        rng: &mut R,
    ) -> Result<Rekeyed, NotRekeyed> {
        let owed = &mut self.0;
        match &mut owed.told {
            Some(told) if owed.mode == Mode::Stream => told.answer(&owed.core, ticket, peer, rng),
            _ => Err(elsewhere(&owed.core, ticket)),
        }
    }
}

impl Ready {
    /// Answers a sub-ticket of the last exchange, whose streams may be final by now. `peer` is
    /// the request's last verified checkpoint.
    ///
    /// # Errors
    /// [`NotRekeyed`]; the lane is as it was.
    pub fn rekey<R: CryptoRng + ?Sized>(
        &mut self,
        ticket: &SignedSubTicket,
        peer: Mark,
        rng: &mut R,
    ) -> Result<Rekeyed, NotRekeyed> {
        match &mut self.told {
            Some(told) => told.answer(&self.core, ticket, peer, rng),
            None => Err(elsewhere(&self.core, ticket)),
        }
    }

    /// Judges a sub-ticket without changing anything.
    ///
    /// # Errors
    /// [`HeadError`]: it is not the consumer's, and proves nothing.
    pub fn judge_sub(&self, ticket: &SignedSubTicket) -> Result<SubStanding, HeadError> {
        match &self.told {
            Some(told) => told.judge(&self.core, ticket),
            None => {
                ticket.verified(&self.core.context, self.core.lane)?;
                Ok(SubStanding::Elsewhere)
            }
        }
    }
}

/// What is left to say of a sub-ticket where nothing streams: whoever signed it, no consumer
/// that is alone does.
fn elsewhere(core: &Core, ticket: &SignedSubTicket) -> NotRekeyed {
    match ticket.verified(&core.context, core.lane) {
        Ok(_) => NotRekeyed::Stands(SubStanding::Elsewhere),
        Err(error) => error.into(),
    }
}

impl Streaming<Ready> {
    /// As [`Ready::rekey`], while streams flow: from here on this end's checkpoints are of the
    /// next epoch.
    ///
    /// # Errors
    /// [`NotRekeyed`], that of [`LaneError::Checkpoint`] before the checkpoint behind the last
    /// switch; the lane is as it was.
    pub fn rekey<R: CryptoRng + ?Sized>(
        &mut self,
        ticket: &SignedSubTicket,
        peer: Mark,
        rng: &mut R,
    ) -> Result<Rekeyed, NotRekeyed> {
        // Whatever is not the next is told of first.
        if self.is_due() && self.lane().judge_sub(ticket)? == SubStanding::Next {
            return Err(LaneError::Checkpoint.into());
        }
        let rekeyed = self.lane_mut().rekey(ticket, peer, rng)?;
        let place = rekeyed.epochs.response.place;
        self.own_rekeyed(place);
        Ok(rekeyed)
    }
}

impl Lined for Ready {
    fn line(&self) -> Option<&Line> {
        Some(&self.told.as_ref()?.line)
    }

    fn line_mut(&mut self) -> Option<&mut Line> {
        Some(&mut self.told.as_mut()?.line)
    }

    /// The consumer may send one more sub-ticket as long as it has not sent its next ticket.
    fn is_settled(&self) -> bool {
        true
    }

    fn settled(self) -> Self {
        self
    }

    /// A producer keeps it until the lane's next ticket.
    #[cfg(feature = "state-export")]
    fn steal_line(&self, _: &mut Vec<u8>) {}

    #[cfg(feature = "state-export")]
    fn with_line(self, _: &[u8]) -> Result<Self, HeadError> {
        Ok(self)
    }
}
