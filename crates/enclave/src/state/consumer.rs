//! A bundle's lanes at the consumer's end.

use armour_protocol::v2::{
    checkpoint::{Checkpoint, CheckpointClaim},
    content::ContentClaim,
    enclave::{
        After, LaneMarks, Streaming,
        consumer::{Answered, Closing, Idle, Lanes, Opening, ReceiptStanding, Refreshing, Waiting},
    },
    error::{HeadError, LaneError},
    message::{Evidence, SignedReceipt},
    mode::Reason,
    proof::Unsigned,
    rekey::SubEvidence,
    time::LocalTime,
    transient::{Answer, SignedTransient},
};

use super::{
    end::{Counted, End, Open, UNKNOWN, finished},
    failed::Failed,
    random::kernel_rng,
};
use crate::ipc::{Begun, Received};

pub(super) type Consumer = End<Lanes, Lane>;

/// An open lane.
pub(super) enum Lane {
    Opening(Opening),
    Idle(Idle),
    Waiting(Waiting),
    Refreshing(Refreshing),
    Closing(Closing),
    Streaming(Streaming<Idle>),
}

impl Consumer {
    pub(super) fn open(
        &mut self,
        log_head: &[u8],
        replaces: Option<u16>,
    ) -> Result<(u16, Vec<u8>), Failed> {
        let signer = self.bound.signer()?;
        if replaces.is_some_and(|lane| self.lanes.mark(lane).is_none()) {
            return Err(Failed("not-given-up"));
        }
        let fresh = self.lanes.fresh()?;
        let (opening, ticket) = fresh.open(log_head, replaces, &mut kernel_rng())?;
        let lane = opening.mark().lane;
        self.open.insert(lane, Lane::Opening(opening));
        Ok((lane, ticket.sign(&*signer).to_bytes()))
    }

    pub(super) fn begin(
        &mut self,
        lane: u16,
        claim: &[u8],
        now: LocalTime,
        by_ms: u64,
    ) -> Result<Begun, Failed> {
        let budget = by_ms.saturating_sub(now.0).try_into().unwrap_or(u32::MAX);
        // One whose time is over has none left, and no time from now on.
        let from = now.min(LocalTime(by_ms));
        let signer = self.bound.signer()?;
        let claim = ContentClaim::from_bytes(claim)?;
        let (ticket, outgoing) = self.issue(lane, |idle| {
            let (waiting, ticket, outgoing) = idle.begin(claim, from, budget, &mut kernel_rng())?;
            Ok((Lane::Waiting(waiting), (ticket, outgoing)))
        })?;
        Ok(Begun {
            head: ticket.sign(&*signer).to_bytes(),
            outgoing: outgoing.to_bytes(),
        })
    }

    pub(super) fn refresh(&mut self, lane: u16, now: LocalTime) -> Result<Vec<u8>, Failed> {
        let signer = self.bound.signer()?;
        let ticket = self.issue(lane, |idle| {
            let (refreshing, ticket) = idle.refresh(now, &mut kernel_rng())?;
            Ok((Lane::Refreshing(refreshing), ticket))
        })?;
        Ok(ticket.sign(&*signer).to_bytes())
    }

    pub(super) fn close(&mut self, lane: u16, now: LocalTime) -> Result<Vec<u8>, Failed> {
        let signer = self.bound.signer()?;
        let ticket = self.issue(lane, |idle| {
            let (closing, ticket) = idle.close(now, &mut kernel_rng())?;
            Ok((Lane::Closing(closing), ticket))
        })?;
        Ok(ticket.sign(&*signer).to_bytes())
    }

    /// Takes an answer. What is not taken leaves the lane as it was.
    pub(super) fn receive(
        &mut self,
        number: u16,
        head: &[u8],
        now: LocalTime,
    ) -> Result<Received, Failed> {
        match Answer::from_bytes(head)? {
            Answer::Transient(transient) => self.find(number)?.put_off(&transient),
            Answer::Receipt(receipt) => {
                let lane = self.take(number)?;
                let mark = lane.marks();
                let (lane, received) = lane.receive(&receipt, now);
                match lane {
                    Some(lane) => drop(self.open.insert(number, lane)),
                    None => self.lanes.ended(mark),
                }
                received
            }
        }
    }

    pub(super) fn is_past(&self, lane: u16, now: LocalTime) -> Result<bool, Failed> {
        match self.find(lane)? {
            Lane::Waiting(waiting) => Ok(waiting.is_past(now)),
            _ => Err(Failed("unexpected")),
        }
    }

    pub(super) fn last_receipt(&self, lane: u16) -> Result<Vec<u8>, Failed> {
        let receipt = self.find(lane)?.receipt().ok_or(Failed("no-receipt"))?;
        Ok(receipt.to_bytes())
    }

    /// The last sub-receipt of the exchange that the lane is at, or of the one before, if it has
    /// this (n, k).
    pub(super) fn last_sub_receipt(&self, lane: u16, at: (u64, u32)) -> Result<Vec<u8>, Failed> {
        let kept = self.find(lane)?.sub_receipts().into_iter().flatten();
        let mut those = kept.filter(|one| (one.body.n, one.body.k) == at);
        let receipt = those.next().ok_or(Failed("no-receipt"))?;
        Ok(receipt.to_bytes())
    }

    /// Issues an idle lane's next ticket. A lane that can issue none has ended.
    fn issue<T>(
        &mut self,
        number: u16,
        issue: impl FnOnce(Idle) -> Result<(Lane, T), LaneError>,
    ) -> Result<T, Failed> {
        let idle = match self.take(number)? {
            Lane::Idle(idle) => idle,
            other => {
                self.open.insert(number, other);
                return Err(Failed("lane-busy"));
            }
        };
        let mark = idle.marks();
        match issue(idle) {
            Ok((lane, issued)) => {
                self.open.insert(number, lane);
                Ok(issued)
            }
            Err(error) => {
                self.lanes.ended(mark);
                Err(error.into())
            }
        }
    }

    fn find(&self, lane: u16) -> Result<&Lane, Failed> {
        self.open.get(&lane).ok_or(UNKNOWN)
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
            Self::Opening(lane) => lane.mark().into(),
            Self::Idle(lane) => lane.marks(),
            Self::Waiting(lane) => lane.marks(),
            Self::Refreshing(lane) => lane.mark().into(),
            Self::Closing(lane) => lane.mark().into(),
            Self::Streaming(streaming) => streaming.lane().marks(),
        }
    }

    fn checkpoint(&mut self, claim: CheckpointClaim) -> Result<Unsigned<Checkpoint>, LaneError> {
        match self {
            Self::Waiting(waiting) => waiting.checkpoint(claim),
            Self::Streaming(streaming) => streaming.checkpoint(claim),
            _ => Err(LaneError::Checkpoint),
        }
    }

    fn finish(self, last: Option<&[u8]>) -> (Self, Result<(), Failed>) {
        match self {
            Self::Streaming(streaming) => match finished(streaming, last) {
                Ok(idle) => (Self::Idle(idle), Ok(())),
                Err((streaming, error)) => (Self::Streaming(*streaming), Err(error)),
            },
            // Its only stream was final before the receipt came.
            Self::Idle(idle) if last.is_none() => (Self::Idle(idle), Ok(())),
            other => (other, Err(Failed("unexpected"))),
        }
    }
}

impl Lane {
    /// The lane after a receipt, unless that ended it.
    fn receive(
        self,
        receipt: &SignedReceipt,
        now: LocalTime,
    ) -> (Option<Self>, Result<Received, Failed>) {
        let (lane, error) = match self {
            Self::Opening(opening) => match opening.receive(receipt, now) {
                Ok(idle) => return (Some(Self::Idle(idle)), Ok(Received::Ready)),
                Err((opening, error)) => (Self::Opening(*opening), error),
            },
            Self::Refreshing(refreshing) => match refreshing.receive(receipt, now) {
                Ok(idle) => return (Some(Self::Idle(idle)), Ok(Received::Ready)),
                Err((refreshing, error)) => (Self::Refreshing(*refreshing), error),
            },
            Self::Closing(closing) => match closing.receive(receipt, now) {
                Ok(_) => return (None, Ok(Received::Closed)),
                Err((closing, error)) => (Self::Closing(*closing), error),
            },
            Self::Waiting(waiting) => match waiting.receive(receipt, now) {
                Ok(received) => {
                    let lane = match received.lane {
                        After::Lane(idle) => Self::Idle(idle),
                        After::Streaming(streaming) => Self::Streaming(streaming),
                    };
                    let answer = match received.answer {
                        Answered::Content(incoming) => Received::Content(incoming.to_bytes()),
                        Answered::Refused(reason) => Received::Refused {
                            reason: Reason::as_u8(reason),
                        },
                        Answered::Aborted(reason) => Received::Aborted {
                            reason: Reason::as_u8(reason),
                        },
                    };
                    return (Some(lane), Ok(answer));
                }
                Err((waiting, error)) => (Self::Waiting(*waiting), error),
            },
            lane @ (Self::Idle(_) | Self::Streaming(_)) => (lane, HeadError::Unexpected),
        };
        let judged = match error {
            HeadError::Unexpected => lane.judge(receipt),
            error => Err(error.into()),
        };
        (Some(lane), judged)
    }

    /// What a receipt is that this lane does not await.
    fn judge(&self, receipt: &SignedReceipt) -> Result<Received, Failed> {
        let standing = match self {
            Self::Opening(lane) => lane.judge(receipt),
            Self::Idle(lane) => lane.judge(receipt),
            Self::Waiting(lane) => lane.judge(receipt),
            Self::Refreshing(lane) => lane.judge(receipt),
            Self::Closing(lane) => lane.judge(receipt),
            Self::Streaming(streaming) => streaming.lane().judge(receipt),
        };
        match standing? {
            ReceiptStanding::Repeat => Ok(Received::Repeat),
            ReceiptStanding::Clone { taken, other } => Ok(Received::Clone {
                taken: taken.to_bytes(),
                other: other.to_bytes(),
            }),
            ReceiptStanding::Elsewhere => Err(HeadError::Unexpected.into()),
        }
    }

    fn put_off(&self, said: &SignedTransient) -> Result<Received, Failed> {
        let said = match self {
            Self::Opening(lane) => lane.put_off(said)?,
            Self::Waiting(lane) => lane.put_off(said)?,
            Self::Refreshing(lane) => lane.put_off(said)?,
            Self::Closing(lane) => lane.put_off(said)?,
            Self::Idle(_) | Self::Streaming(_) => return Err(HeadError::Unexpected.into()),
        };
        Ok(Received::PutOff {
            reason: said.reason().as_u8(),
            after_ms: said.after(),
        })
    }

    fn receipt(&self) -> Option<&Evidence> {
        match self {
            Self::Opening(lane) => lane.receipt(),
            Self::Idle(lane) => Some(lane.receipt()),
            Self::Waiting(lane) => lane.receipt(),
            Self::Refreshing(lane) => lane.receipt(),
            Self::Closing(lane) => lane.receipt(),
            Self::Streaming(streaming) => Some(streaming.lane().receipt()),
        }
    }

    /// The last sub-receipts of its exchange and of the one before.
    fn sub_receipts(&self) -> [Option<&SubEvidence>; 2] {
        match self {
            Self::Opening(lane) => [None, lane.sub_receipt()],
            Self::Idle(lane) => [None, lane.sub_receipt()],
            Self::Waiting(lane) => [lane.taken(), lane.sub_receipt()],
            Self::Refreshing(lane) => [None, lane.sub_receipt()],
            Self::Closing(lane) => [None, lane.sub_receipt()],
            Self::Streaming(streaming) => [streaming.taken(), streaming.lane().sub_receipt()],
        }
    }
}
