//! Sub-tickets and sub-receipts: the streams of an exchange re-key while they flow.

use armour_protocol::v2::{
    checkpoint::Mark,
    enclave::{
        consumer::SubReceiptStanding,
        producer::{NotRekeyed, SubStanding},
    },
    error::{HeadError, LaneError},
    proxy,
    rekey::{SignedSubReceipt, SignedSubTicket},
};

use super::{
    consumer::{self, Consumer},
    end::UNKNOWN,
    failed::Failed,
    producer::{self, Producer},
    random::kernel_rng,
};
use crate::ipc::{Epochs, SubAccepted, SubReceived};

impl Consumer {
    /// Asks to re-key.
    pub(super) fn sub_ticket(&mut self, lane: u16, peer: &[u8]) -> Result<Vec<u8>, Failed> {
        let signer = self.bound.signer()?;
        let peer = Mark::from_bytes(peer)?;
        let mut rng = kernel_rng();
        let ticket = match self.open.get_mut(&lane).ok_or(UNKNOWN)? {
            // Nothing of the response can have been verified.
            consumer::Lane::Waiting(_) if peer != Mark::NONE => {
                return Err(HeadError::Malformed.into());
            }
            consumer::Lane::Waiting(waiting) => waiting.rekey(&mut rng)?,
            consumer::Lane::Streaming(streaming) => streaming.rekey(peer, &mut rng)?,
            _ => return Err(LaneError::NoStream.into()),
        };
        Ok(ticket.sign(&*signer).to_bytes())
    }

    /// Takes a sub-receipt. What is not taken leaves the lane as it was.
    pub(super) fn sub_receipt(&mut self, lane: u16, head: &[u8]) -> Result<SubReceived, Failed> {
        let receipt = SignedSubReceipt::from_bytes(head)?;
        let lane = self.open.get_mut(&lane).ok_or(UNKNOWN)?;
        let taken = match lane {
            consumer::Lane::Waiting(waiting) => waiting.rekeyed(&receipt),
            consumer::Lane::Streaming(streaming) => streaming.rekeyed(&receipt),
            consumer::Lane::Idle(_) => Err(HeadError::Unexpected),
            _ => return Err(LaneError::NoStream.into()),
        };
        let standing = match (taken, lane) {
            (Ok(taken), _) => return Ok(SubReceived::Rekeyed(epochs(&taken))),
            (Err(HeadError::Unexpected), consumer::Lane::Waiting(waiting)) => {
                waiting.judge_sub(&receipt)?
            }
            (Err(HeadError::Unexpected), consumer::Lane::Streaming(streaming)) => {
                streaming.judge_sub(&receipt)?
            }
            // Of an exchange that is over.
            (Err(HeadError::Unexpected), consumer::Lane::Idle(idle)) => idle.judge_sub(&receipt)?,
            (Err(error), _) => return Err(error.into()),
        };
        match standing {
            SubReceiptStanding::Repeat => Ok(SubReceived::Repeat),
            SubReceiptStanding::Clone { taken, other } => Ok(SubReceived::Clone {
                taken: taken.to_bytes(),
                other: other.to_bytes(),
            }),
            SubReceiptStanding::Elsewhere => Err(HeadError::Unexpected.into()),
        }
    }
}

impl Producer {
    /// Answers the next sub-ticket. What is not answered leaves the lane as it was. That it is
    /// the consumer's is verified first, whatever the lane is at.
    pub(super) fn answer_sub(
        &mut self,
        lane: u16,
        head: &[u8],
        peer: &[u8],
    ) -> Result<SubAccepted, Failed> {
        let signer = self.bound.signer()?;
        let ticket = SignedSubTicket::from_bytes(head)?;
        let peer = Mark::from_bytes(peer)?;
        let mut rng = kernel_rng();
        let rekeyed = match self.open.get_mut(&lane) {
            Some(producer::Lane::Answering(answering, _)) => {
                answering.rekey(&ticket, peer, &mut rng)
            }
            Some(producer::Lane::Streaming(streaming)) => streaming.rekey(&ticket, peer, &mut rng),
            Some(producer::Lane::Ready(ready)) => ready.rekey(&ticket, peer, &mut rng),
            // It has ended, or was never opened here.
            None => Err(NotRekeyed::Stands(self.lanes.judge_sub(&ticket)?)),
        };
        match rekeyed {
            Ok(rekeyed) => Ok(SubAccepted::Answered {
                receipt: rekeyed.receipt.sign(&*signer).to_bytes(),
                epochs: epochs(&rekeyed.epochs),
            }),
            Err(NotRekeyed::Stands(standing)) => Ok(match standing {
                SubStanding::Repeat => SubAccepted::Repeat,
                SubStanding::Conflict { .. } => SubAccepted::Conflict,
                SubStanding::Foreign => SubAccepted::Foreign,
                SubStanding::ForeignCheckpoint => SubAccepted::ForeignCheckpoint,
                SubStanding::Next | SubStanding::Elsewhere => SubAccepted::Elsewhere,
            }),
            Err(NotRekeyed::Invalid(error)) => Err(error.into()),
            Err(NotRekeyed::Lane(error)) => Err(error.into()),
        }
    }
}

fn epochs(epochs: &proxy::Epochs) -> Epochs {
    Epochs {
        request: epochs.request.to_bytes(),
        response: epochs.response.to_bytes(),
    }
}
