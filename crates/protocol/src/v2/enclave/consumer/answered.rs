//! A lane that waits for its receipt. Whatever comes instead leaves it waiting.

use std::marker::PhantomData;

use crate::v2::{
    body::Direction,
    checkpoint::{Checkpoint, CheckpointClaim, Place},
    enclave::{
        core::{LaneMark, LaneMarks},
        streams::{After, Streaming},
    },
    error::{HeadError, LaneError},
    message::{Evidence, Response, SignedReceipt},
    mode::{Mode, Reason},
    proof::Unsigned,
    proxy::{Incoming, keys::Keys},
    rekey::SubEvidence,
    time::{LocalTime, ProducerTime},
    transient::{SignedTransient, Transient},
};

use super::{
    in_flight::Taken,
    standing::ReceiptStanding,
    states::{Closing, Idle, Opening, Refreshing, Waiting},
};

/// What a receipt gave.
pub struct Received {
    /// The lane.
    pub lane: After<Idle>,
    /// What the producer answered.
    pub answer: Answered,
}

/// A producer's answer to a call.
pub enum Answered {
    /// Content, for the proxy to open and verify.
    Content(Incoming<Response>),
    /// The call was never begun, and never will be.
    Refused(Reason),
    /// The call was begun; how far it ran is unknown.
    Aborted(Reason),
}

impl Waiting {
    /// Takes the receipt.
    ///
    /// # Errors
    /// Any error leaves the lane waiting, unchanged.
    pub fn receive(
        self,
        receipt: &SignedReceipt,
        now: LocalTime,
    ) -> Result<Received, (Box<Self>, HeadError)> {
        let Self { in_flight, stream } = self;
        let streams = stream.is_some() || receipt.message.mode == Mode::Stream;
        let mut taken = match in_flight.take(receipt, now) {
            Ok(taken) => taken,
            Err((in_flight, error)) => {
                let in_flight = *in_flight;
                return Err((Box::new(Self { in_flight, stream }), error));
            }
        };
        let head = &receipt.message;
        let (context, body) = (taken.core.context.clone(), taken.receipt.body);
        let place = Place::first(taken.ticket.header.n, taken.ticket.hash());
        if !streams {
            taken.asking = None;
        }
        let (idle, key) = Idle::after(taken);
        // The parser has checked that a reason is there with these modes.
        let (mode, reason) = (head.mode, head.reason.unwrap_or(Reason::CONTENT));
        let answer = match mode {
            Mode::Refused => Answered::Refused(reason),
            Mode::Aborted => Answered::Aborted(reason),
            Mode::Whole | Mode::Stream | Mode::Empty | Mode::Last => Answered::Content(Incoming {
                keys: Keys {
                    suite: context.suite(),
                    mode,
                    place,
                    segments: 0,
                    body: body.hash(),
                    commitment: head.commitment,
                    key,
                    side: PhantomData,
                },
                begin_by: ProducerTime(0),
            }),
        };
        // A receipt without content ends both directions.
        let own = stream.filter(|_| mode.has_content());
        let peer = (mode == Mode::Stream).then_some((Direction::Response, place));
        Ok(Received {
            lane: Streaming::around(idle, context, own, peer),
            answer,
        })
    }

    /// The next checkpoint of a request that is a stream.
    ///
    /// # Errors
    /// As [`Streaming::checkpoint`].
    pub fn checkpoint(
        &mut self,
        claim: CheckpointClaim,
    ) -> Result<Unsigned<Checkpoint>, LaneError> {
        let stream = self.stream.as_mut().ok_or(LaneError::Checkpoint)?;
        let asking = self.in_flight.asking.as_deref_mut();
        let asking = asking.ok_or(LaneError::Checkpoint)?;
        if !asking.is_settled() {
            return Err(LaneError::Rekeying);
        }
        let checkpoint = stream.next(claim, &self.in_flight.core.context)?;
        asking.line.own.signed(checkpoint.unsigned().mark());
        Ok(checkpoint)
    }

    /// Whether the producer cannot begin the call any more, for sure.
    pub fn is_past(&self, now: LocalTime) -> bool {
        self.in_flight.is_past(now)
    }

    /// As [`Idle::receipt`]: of the exchange before.
    pub fn receipt(&self) -> Option<&Evidence> {
        self.in_flight.receipt.as_ref()
    }

    /// As [`Idle::sub_receipt`]: of the exchange before.
    pub fn sub_receipt(&self) -> Option<&SubEvidence> {
        self.in_flight.sub_evidence.as_ref()
    }

    /// As [`Idle::judge`]: beside the receipt of the exchange before.
    ///
    /// # Errors
    /// [`HeadError`]: it is not the producer's, and proves nothing.
    pub fn judge(&self, receipt: &SignedReceipt) -> Result<ReceiptStanding, HeadError> {
        self.in_flight.judge(receipt)
    }

    /// A transient refusal: the same bytes may be sent again, to the same producer.
    ///
    /// # Errors
    /// [`HeadError`]: it is no word of the producer's.
    pub fn put_off<'a>(&self, answer: &'a SignedTransient) -> Result<&'a Transient, HeadError> {
        self.in_flight.put_off(answer)
    }

    /// How far the lane has come. It is given up by dropping it.
    pub fn mark(&self) -> LaneMark {
        self.in_flight.mark()
    }

    /// And the line of sub-tickets of this exchange.
    pub fn marks(&self) -> LaneMarks {
        let asking = self.in_flight.asking.as_ref();
        LaneMarks {
            mark: self.mark(),
            sub: asking.and_then(|asking| asking.asked),
        }
    }
}

macro_rules! without_content {
    ($($lane:ident gives $after:ty: $gives:expr;)*) => {$(
        impl $lane {
            /// Takes the receipt.
            ///
            /// # Errors
            /// Any error leaves the lane waiting, unchanged.
            pub fn receive(
                self,
                receipt: &SignedReceipt,
                now: LocalTime,
            ) -> Result<$after, (Box<Self>, HeadError)> {
                match self.0.take(receipt, now) {
                    Ok(taken) => Ok($gives(taken)),
                    Err((in_flight, error)) => Err((Box::new(Self(*in_flight)), error)),
                }
            }

            /// A transient refusal: the same bytes may be sent again, to the same producer.
            ///
            /// # Errors
            /// [`HeadError`]: it is no word of the producer's.
            pub fn put_off<'a>(
                &self,
                answer: &'a SignedTransient,
            ) -> Result<&'a Transient, HeadError> {
                self.0.put_off(answer)
            }

            /// As [`Idle::receipt`]: of the exchange before.
            pub fn receipt(&self) -> Option<&Evidence> {
                self.0.receipt.as_ref()
            }

            /// As [`Idle::sub_receipt`]: of the exchange before.
            pub fn sub_receipt(&self) -> Option<&SubEvidence> {
                self.0.sub_evidence.as_ref()
            }

            /// As [`Idle::judge`]: beside the receipt of the exchange before.
            ///
            /// # Errors
            /// [`HeadError`]: it is not the producer's, and proves nothing.
            pub fn judge(&self, receipt: &SignedReceipt) -> Result<ReceiptStanding, HeadError> {
                self.0.judge(receipt)
            }

            /// How far the lane has come. It is given up by dropping it.
            pub fn mark(&self) -> LaneMark {
                self.0.mark()
            }
        }
    )*};
}
without_content! {
    Opening gives Idle: idle;
    Refreshing gives Idle: idle;
    Closing gives LaneMark: ended;
}

fn idle(taken: Taken) -> Idle {
    Idle::after(taken).0
}

fn ended(taken: Taken) -> LaneMark {
    LaneMark::of(&taken.ticket)
}
