//! The producer's side of a lane: ready for a ticket, or answering one.

use std::sync::Arc;

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;

use crate::{
    Error, Result,
    agreement::{self, PeerShare, ShareSecret},
    bundle::{BundleContext, BundleSecret},
    consumer::Keyed,
    message::{RequestHead, ResponseHead},
    schedule::{Root, Step, Transcript},
    ticket::{NO_PREVIOUS, SignedTicket},
};

/// A lane that may accept its next ticket.
pub struct ReadyLane {
    context: Arc<BundleContext>,
    lane: u32,
    next: u64,
    last: Option<SignedTicket>,
    consumer_root: Root,
    producer_root: Root,
    transcript: Transcript,
    /// Our latest share's private half; none before the opening exchange.
    secret: Option<ShareSecret>,
}

/// A lane that has accepted a ticket and owes its response.
pub struct AnsweringLane {
    context: Arc<BundleContext>,
    last: SignedTicket,
    consumer_root: Root,
    producer_root: Root,
    transcript: Transcript,
    peer: PeerShare,
}

/// What a validly signed ticket is to a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The next one; [`ReadyLane::accept`] will take it.
    Next,
    /// The one accepted last, byte for byte: answer it from the cache.
    Repeat,
    /// It contradicts the ticket accepted last: somebody else holds the
    /// consumer's state.
    Conflict {
        /// The ticket that was accepted.
        accepted: Box<SignedTicket>,
    },
    /// Older or further ahead than this lane can judge; the ledger compares it.
    Elsewhere {
        /// The exchange that this lane expects next.
        expected: u64,
    },
}

impl ReadyLane {
    /// A lane that has not been opened.
    pub fn new(context: Arc<BundleContext>, secret: &BundleSecret, lane: u32) -> Self {
        let start = secret.lane(&context, lane);
        Self {
            context,
            lane,
            next: 0,
            last: None,
            consumer_root: start.consumer_root,
            producer_root: start.producer_root,
            transcript: start.transcript,
            secret: None,
        }
    }

    /// Judges a ticket without changing anything.
    ///
    /// # Errors
    /// [`Error::Suite`], [`Error::Address`] or [`Error::Signature`]: then it
    /// is no ticket of this lane's consumer, and proves nothing.
    pub fn judge(&self, ticket: &SignedTicket) -> Result<Standing> {
        judge(&self.context, self.lane, self.last.as_ref(), ticket)
    }

    /// Accepts the lane's next ticket and re-keys the consumer's root.
    ///
    /// # Errors
    /// Any error leaves the lane as it was.
    pub fn accept(
        self,
        head: RequestHead,
    ) -> std::result::Result<(AnsweringLane, Keyed<RequestHead>), (Box<Self>, Error)> {
        match self.check(&head) {
            Err(error) => Err((Box::new(self), error)),
            Ok((peer, step, transcript)) => {
                let answering = AnsweringLane {
                    context: self.context,
                    last: head.ticket,
                    consumer_root: step.root,
                    producer_root: self.producer_root,
                    transcript,
                    peer,
                };
                Ok((
                    answering,
                    Keyed {
                        head,
                        key: step.key,
                        transcript,
                    },
                ))
            }
        }
    }

    fn check(&self, head: &RequestHead) -> Result<(PeerShare, Step, Transcript)> {
        if self.judge(&head.ticket)? != Standing::Next {
            return Err(Error::Unexpected);
        }
        let (peer, agreed) =
            agreement::receive(self.context.suite, self.secret.as_ref(), &head.share)?;
        let transcript = self.transcript.absorb(&head.transcript_bytes());
        let step = self.consumer_root.rekey(&agreed, &transcript);
        if !bool::from(step.commitment.ct_eq(&head.commitment)) {
            return Err(Error::Commitment);
        }
        Ok((peer, step, transcript))
    }

    /// The exchange expected next.
    pub fn next(&self) -> u64 {
        self.next
    }
}

impl AnsweringLane {
    /// Judges a ticket that arrives while another is being answered.
    ///
    /// # Errors
    /// As [`ReadyLane::judge`].
    pub fn judge(&self, ticket: &SignedTicket) -> Result<Standing> {
        judge(
            &self.context,
            self.last.ticket.lane,
            Some(&self.last),
            ticket,
        )
    }

    /// Makes the response's head and re-keys the producer's root.
    ///
    /// # Errors
    /// [`Error::KeyShare`] if the consumer's share cannot be answered; the
    /// lane is then useless.
    pub fn respond<R: CryptoRng + ?Sized>(
        self,
        rng: &mut R,
    ) -> Result<(ReadyLane, Keyed<ResponseHead>)> {
        let ticket = self.last.ticket;
        let (secret, share, agreed) = agreement::answer(ticket.suite, &self.peer, rng)?;
        let mut head = ResponseHead {
            suite: ticket.suite,
            bundle: ticket.bundle,
            lane: ticket.lane,
            n: ticket.n,
            answers: ticket.hash(),
            share,
            commitment: [0; 32],
        };
        let transcript = self.transcript.absorb(&head.transcript_bytes());
        let step = self.producer_root.rekey(&agreed, &transcript);
        head.commitment = step.commitment;
        let ready = ReadyLane {
            context: self.context,
            lane: ticket.lane,
            next: ticket.n.checked_add(1).ok_or(Error::Exhausted)?,
            last: Some(self.last),
            consumer_root: self.consumer_root,
            producer_root: step.root,
            transcript,
            secret: Some(secret),
        };
        Ok((
            ready,
            Keyed {
                head,
                key: step.key,
                transcript,
            },
        ))
    }
}

fn judge(
    context: &BundleContext,
    lane: u32,
    last: Option<&SignedTicket>,
    signed: &SignedTicket,
) -> Result<Standing> {
    let ticket = &signed.ticket;
    if ticket.suite != context.suite {
        return Err(Error::Suite);
    }
    if ticket.bundle != context.bundle || ticket.lane != lane {
        return Err(Error::Address);
    }
    signed.verify(&context.consumer_key)?;
    let (expected, previous) = match last {
        None => (0, NO_PREVIOUS),
        Some(last) => (
            last.ticket.n.checked_add(1).ok_or(Error::Exhausted)?,
            last.ticket.hash(),
        ),
    };
    let conflict = |accepted: &SignedTicket| Standing::Conflict {
        accepted: Box::new(*accepted),
    };
    Ok(match last {
        _ if ticket.n == expected && ticket.previous == previous => Standing::Next,
        // It names another predecessor than the one that was accepted.
        Some(last) if ticket.n == expected => conflict(last),
        Some(last) if ticket.n == last.ticket.n && ticket.hash() == last.ticket.hash() => {
            Standing::Repeat
        }
        Some(last) if ticket.n == last.ticket.n => conflict(last),
        _ => Standing::Elsewhere { expected },
    })
}
