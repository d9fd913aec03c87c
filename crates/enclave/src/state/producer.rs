//! A bundle's lanes at the producer's end.

use std::collections::BTreeMap;

use armour_protocol::{
    crypto::Signer,
    v2::{
        checkpoint::CheckpointClaim,
        enclave::{
            After, LaneMarks, Streaming,
            producer::{
                Accepted as Taken, Answering, BareAfter, Lanes, NotAccepted, OpeningError, Ready,
                Standing,
            },
        },
        error::{HeadError, LaneError},
        message::SignedTicket,
        mode::Reason,
        proxy::Conclusion,
        time::ProducerTime,
    },
};

use super::{bound::Bound, failed::Failed, random::kernel_rng};
use crate::ipc::{Accepted, Concluded};

pub(super) struct Producer {
    pub(super) bound: Bound,
    pub(super) lanes: Lanes,
    pub(super) open: BTreeMap<u16, Lane>,
}

/// An open lane. Openings and tickets without content are answered at once, so that no
/// lane owes their receipt between two calls.
pub(super) enum Lane {
    Ready(Ready),
    /// And how far it came before.
    Answering(Answering, LaneMarks),
    Streaming(Streaming<Ready>),
}

impl Producer {
    pub(super) fn new(bound: Bound, lanes: Lanes) -> Self {
        Self {
            bound,
            lanes,
            open: BTreeMap::new(),
        }
    }

    /// Judges a ticket, and takes it if it is the next. What is not taken leaves all as it
    /// was.
    pub(super) fn accept(
        &mut self,
        number: u16,
        head: &[u8],
        log_head: &[u8],
        now: ProducerTime,
    ) -> Result<Accepted, Failed> {
        let signer = self.bound.signer()?;
        let ticket = self.read(number, head)?;
        let (ready, error) = match self.open.remove(&number) {
            None => return self.accept_first(&ticket, log_head, now, &signer),
            Some(Lane::Ready(ready)) => {
                let mark = ready.marks();
                match ready.accept(&ticket) {
                    Ok(taken) => return self.taken(taken, mark, now, &signer),
                    Err((ready, error)) => (ready, error),
                }
            }
            Some(busy) => {
                let judged = busy.judge(&ticket);
                self.open.insert(number, busy);
                return match judged? {
                    // Its predecessor is still being answered, by a stream at the most.
                    Standing::Next => Err(Failed("streaming")),
                    standing => Ok(told(standing)),
                };
            }
        };
        self.open.insert(number, Lane::Ready(*ready));
        match error {
            NotAccepted::Stands(standing) => Ok(told(standing)),
            NotAccepted::Invalid(error) => Err(error.into()),
        }
    }

    pub(super) fn put_off(
        &self,
        number: u16,
        head: &[u8],
        reason: u8,
        after_ms: u32,
    ) -> Result<Vec<u8>, Failed> {
        let signer = self.bound.signer()?;
        let ticket = self.read(number, head)?;
        let reason = Reason::from_u8(reason).ok_or(Failed("malformed"))?;
        let transient = match self.open.get(&number) {
            None => self.lanes.put_off(&ticket, reason, after_ms)?,
            Some(Lane::Ready(ready)) => ready.put_off(&ticket, reason, after_ms)?,
            Some(Lane::Streaming(streaming)) => {
                streaming.lane().put_off(&ticket, reason, after_ms)?
            }
            Some(Lane::Answering(..)) => return Err(Failed("not-next")),
        };
        Ok(transient.sign(&*signer).to_bytes())
    }

    pub(super) fn conclude(
        &mut self,
        number: u16,
        conclusion: &[u8],
        now: ProducerTime,
    ) -> Result<Concluded, Failed> {
        let signer = self.bound.signer()?;
        let conclusion = Conclusion::from_bytes(conclusion)?;
        let (answering, mark) = match self.take(number)? {
            Lane::Answering(answering, mark) => (answering, mark),
            other => {
                self.open.insert(number, other);
                return Err(Failed("unexpected"));
            }
        };
        let concluded = match answering.conclude(conclusion, now, &mut kernel_rng()) {
            Ok(concluded) => concluded,
            Err((Some(answering), error)) => {
                self.open.insert(number, Lane::Answering(*answering, mark));
                return Err(error.into());
            }
            // It can answer nothing any more.
            Err((None, error)) => {
                self.lanes.ended(mark);
                return Err(error.into());
            }
        };
        let lane = match concluded.lane {
            After::Lane(ready) => Lane::Ready(ready),
            After::Streaming(streaming) => Lane::Streaming(streaming),
        };
        self.open.insert(number, lane);
        Ok(Concluded {
            head: concluded.receipt.sign(&*signer).to_bytes(),
            outgoing: concluded.outgoing.map(|outgoing| outgoing.to_bytes()),
        })
    }

    pub(super) fn give_up(&mut self, lane: u16) -> Result<(), Failed> {
        let lane = self.take(lane)?;
        self.lanes.ended(lane.marks());
        Ok(())
    }

    pub(super) fn checkpoint(&mut self, lane: u16, claim: &[u8]) -> Result<Vec<u8>, Failed> {
        let signer = self.bound.signer()?;
        let claim = CheckpointClaim::from_bytes(claim)?;
        let checkpoint = match self.open.get_mut(&lane).ok_or(UNKNOWN)? {
            Lane::Streaming(streaming) => streaming.checkpoint(claim)?,
            _ => return Err(LaneError::Checkpoint.into()),
        };
        let signed = checkpoint.sign(&*signer);
        Ok(signed.proof().to_bytes())
    }

    pub(super) fn finish(&mut self, number: u16, last: Option<&[u8]>) -> Result<(), Failed> {
        let (lane, result) = match self.take(number)? {
            Lane::Streaming(streaming) => {
                let last = last.map(|last| streaming.read_checkpoint(last));
                match last.transpose() {
                    Err(error) => (Lane::Streaming(streaming), Err(error.into())),
                    Ok(last) => match streaming.finish(last.as_ref()) {
                        Ok(ready) => (Lane::Ready(ready), Ok(())),
                        Err((streaming, error)) => (Lane::Streaming(*streaming), Err(error.into())),
                    },
                }
            }
            other => (other, Err(Failed("unexpected"))),
        };
        self.open.insert(number, lane);
        result
    }

    /// Signs nothing more: calls under way stay without a receipt.
    pub(super) fn retire(&mut self) {
        self.bound.retire();
    }

    /// How far each lane came, in no order.
    pub(super) fn marks(&self) -> Vec<LaneMarks> {
        let open = self.open.values().map(Lane::marks);
        open.chain(self.lanes.ended_marks().copied()).collect()
    }

    pub(super) fn marks_of(&self, lane: u16) -> Option<LaneMarks> {
        let open = self.open.get(&lane).map(Lane::marks);
        open.or_else(|| self.lanes.mark(lane).copied())
    }

    /// Reads a ticket of the lane that the proxy takes it for.
    fn read(&self, number: u16, head: &[u8]) -> Result<SignedTicket, Failed> {
        let ticket = SignedTicket::from_bytes(head)?;
        let header = ticket.unverified().header();
        match header.lane == number {
            true => Ok(ticket),
            false => Err(HeadError::Address.into()),
        }
    }

    /// Opens a lane and answers; or it has ended, and only the ledger can judge.
    fn accept_first(
        &mut self,
        ticket: &SignedTicket,
        log_head: &[u8],
        now: ProducerTime,
        signer: &Signer,
    ) -> Result<Accepted, Failed> {
        let number = ticket.unverified().header().lane;
        let elsewhere = self.lanes.mark(number).is_some() || ticket.unverified().header().n > 0;
        if elsewhere {
            ticket.evidence().verify(&self.bound.context)?;
            return Ok(Accepted::Elsewhere);
        }
        let answered = self.lanes.open_with(ticket, |opened| {
            opened.answer(log_head, now, &mut kernel_rng())
        });
        let ((ready, receipt), replaced) = match answered {
            Ok(answered) => answered,
            Err(OpeningError::Ticket(NotAccepted::Stands(standing))) => return Ok(told(standing)),
            Err(error) => return Err(error.into()),
        };
        if let Some(lane) = replaced.and_then(|replaced| self.open.remove(&replaced)) {
            self.lanes.ended(lane.marks());
        }
        self.open.insert(number, Lane::Ready(ready));
        Ok(Accepted::Answered {
            receipt: receipt.sign(signer).to_bytes(),
            ended: replaced,
        })
    }

    fn taken(
        &mut self,
        taken: Taken,
        mark: LaneMarks,
        now: ProducerTime,
        signer: &Signer,
    ) -> Result<Accepted, Failed> {
        let number = mark.mark.lane;
        let bare = match taken {
            Taken::Call(answering, incoming) => {
                self.open.insert(number, Lane::Answering(answering, mark));
                return Ok(Accepted::Call(incoming.to_bytes()));
            }
            Taken::Bare(bare) => bare,
        };
        let (after, receipt) = match bare.answer(now, &mut kernel_rng()) {
            Ok(answered) => answered,
            // It can answer nothing any more.
            Err(error) => {
                self.lanes.ended(mark);
                return Err(error.into());
            }
        };
        let ended = match after {
            BareAfter::Ready(ready) => {
                self.open.insert(number, Lane::Ready(*ready));
                None
            }
            BareAfter::Ended(mark) => {
                self.lanes.ended(mark);
                Some(number)
            }
        };
        Ok(Accepted::Answered {
            receipt: receipt.sign(signer).to_bytes(),
            ended,
        })
    }

    fn take(&mut self, lane: u16) -> Result<Lane, Failed> {
        self.open.remove(&lane).ok_or(UNKNOWN)
    }
}

const UNKNOWN: Failed = Failed("lane-unknown");

impl Lane {
    fn judge(&self, ticket: &SignedTicket) -> Result<Standing, HeadError> {
        match self {
            Self::Ready(ready) => ready.judge(ticket),
            Self::Answering(answering, _) => answering.judge(ticket),
            Self::Streaming(streaming) => streaming.lane().judge(ticket),
        }
    }

    pub(super) fn marks(&self) -> LaneMarks {
        match self {
            Self::Ready(ready) => ready.marks(),
            Self::Answering(answering, before) => answering.marks(*before),
            Self::Streaming(streaming) => streaming.lane().marks(),
        }
    }
}

/// What the proxy is told of a ticket that was not taken.
fn told(standing: Standing) -> Accepted {
    match standing {
        Standing::Repeat => Accepted::Repeat,
        Standing::Conflict { .. } => Accepted::Conflict,
        Standing::ForeignReceipt => Accepted::ForeignReceipt,
        Standing::Next | Standing::Elsewhere { .. } => Accepted::Elsewhere,
    }
}
