//! Sub-receipts: the producer answers each sub-ticket once, until the lane's next ticket.

use rand_core::CryptoRng;

use crate::v2::{
    checkpoint::Mark,
    enclave::streams::{Lined, Streaming},
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
            _ => Err(LaneError::NoStream.into()),
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
            None => Err(LaneError::NoStream.into()),
        }
    }

    /// Judges a sub-ticket without changing anything.
    ///
    /// # Errors
    /// [`HeadError`]: it is not the consumer's, and proves nothing.
    pub fn judge_sub(&self, ticket: &SignedSubTicket) -> Result<SubStanding, HeadError> {
        match &self.told {
            Some(told) => told.judge(&self.core, ticket),
            None => Err(HeadError::Unexpected),
        }
    }
}

impl Streaming<Ready> {
    /// As [`Ready::rekey`], while streams flow: from here on this end's checkpoints are of the
    /// next epoch.
    ///
    /// # Errors
    /// [`NotRekeyed`]; the lane is as it was.
    pub fn rekey<R: CryptoRng + ?Sized>(
        &mut self,
        ticket: &SignedSubTicket,
        peer: Mark,
        rng: &mut R,
    ) -> Result<Rekeyed, NotRekeyed> {
        let rekeyed = self.lane_mut().rekey(ticket, peer, rng)?;
        let place = rekeyed.epochs.response.place;
        self.own_rekeyed(place);
        Ok(rekeyed)
    }
}

impl Lined for Ready {
    fn signed(&mut self, mark: Mark) {
        if let Some(told) = &mut self.told {
            told.line.own = mark;
        }
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
