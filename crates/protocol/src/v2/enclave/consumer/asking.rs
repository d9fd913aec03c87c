//! The consumer's end of a line of sub-tickets and sub-receipts.

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;

use crate::{
    agreement::{self, ShareSecret},
    v2::{
        checkpoint::Mark,
        enclave::{
            core::{Core, LaneMark},
            line::{Line, Marks},
        },
        error::{HeadError, LaneError},
        proof::Unsigned,
        proxy::Epochs,
        rekey::{SignedSubReceipt, SubEvidence, SubTicket},
    },
};

/// The consumer's end of the line. It leads to the lane's next ticket only once no
/// sub-ticket waits.
pub(super) struct Asking {
    pub(super) line: Line,
    /// The last sub-receipt.
    pub(super) taken: Option<SubEvidence>,
    waits: Option<Waits>,
    /// Of the last sub-ticket.
    pub(super) asked: Option<LaneMark>,
}

struct Waits {
    ticket: SubTicket,
    secret: ShareSecret,
}

/// What a sub-receipt that nobody awaits is to a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubReceiptStanding {
    /// The one that was taken, again.
    Repeat,
    /// Another one for the same sub-ticket: the producer's state was copied.
    Clone {
        /// The one that was taken.
        taken: Box<SubEvidence>,
        /// The other one.
        other: Box<SubEvidence>,
    },
    /// Any other; the ledger compares it.
    Elsewhere,
}

impl Asking {
    pub(super) fn new(line: Line) -> Self {
        Self {
            line,
            taken: None,
            waits: None,
            asked: None,
        }
    }

    pub(super) fn is_settled(&self) -> bool {
        self.waits.is_none()
    }

    pub(super) fn begin<R: CryptoRng + ?Sized>(
        &mut self,
        core: &Core,
        peer: Mark,
        rng: &mut R,
    ) -> Result<Unsigned<SubTicket>, LaneError> {
        if self.waits.is_some() {
            return Err(LaneError::Rekeying);
        }
        let k = self
            .line
            .place
            .k
            .checked_add(1)
            .ok_or(LaneError::Exhausted)?;
        let (secret, share) = agreement::open(core.context.suite().agreement(), rng);
        let marks = Marks {
            request: self.line.own.last(),
            response: peer,
        };
        let ticket: SubTicket = self.line.head(core, k, self.line.last, marks, share);
        let unsigned = Unsigned::new(ticket.clone(), &core.context);
        self.asked = Some(LaneMark::of_sub(&ticket.body()));
        self.waits = Some(Waits { ticket, secret });
        Ok(unsigned)
    }

    /// The signature is verified before the share is used.
    pub(super) fn take(
        &mut self,
        core: &Core,
        receipt: &SignedSubReceipt,
    ) -> Result<Epochs, HeadError> {
        let body = receipt.verified(&core.context, core.lane)?;
        let waits = self.waits.as_ref().ok_or(HeadError::Unexpected)?;
        let head = &receipt.message;
        if (head.n, head.k) != (waits.ticket.n, waits.ticket.k)
            || head.previous != waits.ticket.body().hash()
        {
            return Err(HeadError::Unexpected);
        }
        self.line.own.compare(&head.request)?;
        // What we have verified is what it has signed so far.
        if !head.response.follows(&waits.ticket.response) {
            return Err(HeadError::ForeignCheckpoint);
        }
        let suite = core.context.suite();
        let agreed = agreement::receive_last(suite.agreement(), &waits.secret, &head.share)
            .map_err(|_| HeadError::KeyShare)?;
        let moved = self.line.step(&waits.ticket, head, &agreed);
        let committed = head.key_commitment.ok_or(HeadError::Malformed)?;
        if !bool::from(moved.0.commitment.ct_eq(&committed)) {
            return Err(HeadError::KeyCommitment);
        }
        let at = Marks {
            request: waits.ticket.request,
            response: head.response,
        };
        self.waits = None;
        self.taken = Some(receipt.evidence());
        Ok(self.line.moved(suite, moved, body.hash(), at))
    }
}

/// What a sub-receipt is beside the last one that was taken.
pub(super) fn judge_sub(
    core: &Core,
    taken: Option<&SubEvidence>,
    receipt: &SignedSubReceipt,
) -> Result<SubReceiptStanding, HeadError> {
    receipt.verified(&core.context, core.lane)?;
    let other = receipt.evidence();
    Ok(match taken {
        Some(taken) if other.body == taken.body => SubReceiptStanding::Repeat,
        Some(taken) if other.body.previous == taken.body.previous => SubReceiptStanding::Clone {
            taken: Box::new(taken.clone()),
            other: Box::new(other),
        },
        _ => SubReceiptStanding::Elsewhere,
    })
}
