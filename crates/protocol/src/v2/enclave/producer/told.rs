//! The producer's end of a line of sub-tickets and sub-receipts.

use rand_core::CryptoRng;
use thiserror::Error;

use crate::{
    agreement,
    v2::{
        checkpoint::Mark,
        enclave::{
            core::Core,
            line::{Line, Marks},
        },
        error::{HeadError, LaneError},
        proof::Unsigned,
        proxy::Epochs,
        rekey::{SignedSubTicket, SubBody, SubEvidence, SubReceipt, SubTicket},
    },
};

/// The producer's end of the line.
pub(super) struct Told {
    pub(super) line: Line,
    /// The last sub-ticket that was accepted.
    accepted: Option<SubEvidence>,
}

/// What a sub-ticket gave.
pub struct Rekeyed {
    /// Its one sub-receipt.
    pub receipt: Unsigned<SubReceipt>,
    /// For the proxy.
    pub epochs: Epochs,
}

/// What a sub-ticket that the consumer's incarnation signed is to a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubStanding {
    /// The next one.
    Next,
    /// The one accepted last, again: answer it with the same bytes as before.
    Repeat,
    /// Another one in the place of the one accepted last: the consumer's state was copied.
    Conflict {
        /// The one that was accepted.
        accepted: Box<SubEvidence>,
    },
    /// The next number, but it names a sub-receipt that is not this lane's: one of the ends
    /// was copied. The ledger decides.
    Foreign,
    /// The next one, and it says of a stream what this end has seen otherwise: one of the keys
    /// is in other hands. An alarm.
    ForeignCheckpoint,
    /// Any other, also one of an exchange without streams or of a lane that has ended; the
    /// ledger compares it.
    Elsewhere,
}

/// Why a sub-ticket was not answered. The lane is as it was.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotRekeyed {
    /// It is not the consumer's, and proves nothing; or its share is none.
    #[error(transparent)]
    Invalid(#[from] HeadError),
    /// The consumer's incarnation signed it, but it is not the next.
    #[error("not the sub-ticket that this lane awaits")]
    Stands(SubStanding),
    /// Nothing is to be re-keyed here.
    #[error(transparent)]
    Lane(#[from] LaneError),
}

impl Told {
    pub(super) fn new(line: Line) -> Self {
        Self {
            line,
            accepted: None,
        }
    }

    fn standing(&self, body: &SubBody) -> SubStanding {
        let place = &self.line.place;
        if body.n != place.n {
            return SubStanding::Elsewhere;
        }
        match &self.accepted {
            Some(accepted) if accepted.body == *body => SubStanding::Repeat,
            Some(accepted) if accepted.body.k == body.k => SubStanding::Conflict {
                accepted: Box::new(accepted.clone()),
            },
            _ if Some(body.k) != place.k.checked_add(1) => SubStanding::Elsewhere,
            _ if body.previous != self.line.last => SubStanding::Foreign,
            _ => SubStanding::Next,
        }
    }

    pub(super) fn judge(
        &self,
        core: &Core,
        ticket: &SignedSubTicket,
    ) -> Result<SubStanding, HeadError> {
        let body = ticket.verified(&core.context, core.lane)?;
        Ok(self.standing(&body))
    }

    /// Compares where the consumer says that the streams are.
    fn compare(&self, head: &SubTicket, peer: &Mark) -> Result<(), NotRekeyed> {
        // It has signed nothing since. What this end has not read yet its reader compares.
        if !head.request.follows(peer) {
            return Err(NotRekeyed::Stands(SubStanding::ForeignCheckpoint));
        }
        match self.line.own.compare(&head.response) {
            Err(HeadError::ForeignCheckpoint) => {
                Err(NotRekeyed::Stands(SubStanding::ForeignCheckpoint))
            }
            compared => Ok(compared?),
        }
    }

    /// The signature is verified before the share is used.
    pub(super) fn answer<R: CryptoRng + ?Sized>(
        &mut self,
        core: &Core,
        ticket: &SignedSubTicket,
        peer: Mark,
        rng: &mut R,
    ) -> Result<Rekeyed, NotRekeyed> {
        let body = ticket.verified(&core.context, core.lane)?;
        match self.standing(&body) {
            SubStanding::Next => {}
            other => return Err(NotRekeyed::Stands(other)),
        }
        let head = &ticket.message;
        self.compare(head, &peer)?;
        let suite = core.context.suite();
        let bad = |_| HeadError::KeyShare;
        let (share, _) = agreement::receive(suite.agreement(), None, &head.share).map_err(bad)?;
        let (own, agreed) = agreement::answer_last(suite.agreement(), &share, rng).map_err(bad)?;
        let marks = Marks {
            request: peer,
            response: self.line.own.last(),
        };
        let at = Marks {
            request: head.request,
            response: marks.response,
        };
        let mut receipt: SubReceipt = self.line.head(core, head.k, body.hash(), marks, own);
        let moved = self.line.step(head, &receipt, &agreed);
        receipt.key_commitment = Some(moved.0.commitment);
        let last = receipt.body().hash();
        self.accepted = Some(ticket.evidence());
        Ok(Rekeyed {
            receipt: Unsigned::new(receipt, &core.context),
            epochs: self.line.moved(suite, moved, last, at),
        })
    }
}
