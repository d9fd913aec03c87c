//! A bundle's lanes at the producer's end.

use armour_protocol::{
    crypto::Signer,
    v2::{
        checkpoint::{Checkpoint, CheckpointClaim},
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
        proof::Unsigned,
        proxy::Conclusion,
        time::ProducerTime,
    },
};

use super::{
    end::{Counted, End, Open, finished},
    failed::Failed,
    random::kernel_rng,
};
use crate::ipc::{Accepted, Concluded};

pub(super) type Producer = End<Lanes, Lane>;

/// An open lane. Openings and tickets without content are answered at once, so that no
/// lane owes their receipt between two calls.
pub(super) enum Lane {
    Ready(Ready),
    /// And how far it came before.
    Answering(Answering, LaneMarks),
    Streaming(Streaming<Ready>),
}

impl Producer {
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
}

impl Counted for Lanes {
    fn ended(&mut self, marks: LaneMarks) {
        self.ended(marks);
    }

    fn mark(&self, lane: u16) -> Option<LaneMarks> {
        self.mark(lane).copied()
    }

    fn ended_marks(&self) -> impl Iterator<Item = LaneMarks> {
        self.ended_marks().copied()
    }
}

impl Open for Lane {
    fn marks(&self) -> LaneMarks {
        match self {
            Self::Ready(ready) => ready.marks(),
            Self::Answering(answering, before) => answering.marks(*before),
            Self::Streaming(streaming) => streaming.lane().marks(),
        }
    }

    fn checkpoint(&mut self, claim: CheckpointClaim) -> Result<Unsigned<Checkpoint>, LaneError> {
        match self {
            Self::Streaming(streaming) => streaming.checkpoint(claim),
            _ => Err(LaneError::Checkpoint),
        }
    }

    fn finish(self, last: Option<&[u8]>) -> (Self, Result<(), Failed>) {
        match self {
            Self::Streaming(streaming) => match finished(streaming, last) {
                Ok(ready) => (Self::Ready(ready), Ok(())),
                Err((streaming, error)) => (Self::Streaming(*streaming), Err(error)),
            },
            other => (other, Err(Failed("unexpected"))),
        }
    }
}

impl Lane {
    fn judge(&self, ticket: &SignedTicket) -> Result<Standing, HeadError> {
        match self {
            Self::Ready(ready) => ready.judge(ticket),
            Self::Answering(answering, _) => answering.judge(ticket),
            Self::Streaming(streaming) => streaming.lane().judge(ticket),
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
