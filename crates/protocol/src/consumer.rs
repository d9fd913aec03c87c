//! The consumer's side of a lane: idle, or waiting for one response.
//!
//! Between exchanges the consumer holds two roots and the producer's public
//! share, and no private ephemeral: a stolen idle state reads nothing (R3).

use std::sync::Arc;

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;

use crate::{
    Error, Result,
    agreement::{self, PeerShare, ShareSecret},
    bundle::{BundleContext, BundleSecret},
    crypto::Sign,
    message::{RequestHead, ResponseHead, share_digest},
    schedule::{MessageKey, Root, Step, Transcript},
    ticket::{NO_PREVIOUS, Ticket, TicketHash},
};

/// A lane that may begin its next exchange.
pub struct IdleLane {
    context: Arc<BundleContext>,
    lane: u32,
    next: u64,
    previous: TicketHash,
    consumer_root: Root,
    producer_root: Root,
    transcript: Transcript,
    /// The producer's latest share; none before the opening exchange.
    peer: Option<PeerShare>,
}

/// A lane whose request is under way.
pub struct WaitingLane {
    context: Arc<BundleContext>,
    ticket: Ticket,
    consumer_root: Root,
    producer_root: Root,
    transcript: Transcript,
    secret: ShareSecret,
}

/// What the proxy needs to seal or open one message.
pub struct Keyed<H> {
    /// The message's head.
    pub head: H,
    /// The one-time key.
    pub key: MessageKey,
    /// The transcript that the payload's signature binds.
    pub transcript: Transcript,
}

impl IdleLane {
    /// A lane that has not been opened. Its first exchange must be empty.
    pub fn new(context: Arc<BundleContext>, secret: &BundleSecret, lane: u32) -> Self {
        let start = secret.lane(&context, lane);
        Self {
            context,
            lane,
            next: 0,
            previous: NO_PREVIOUS,
            consumer_root: start.consumer_root,
            producer_root: start.producer_root,
            transcript: start.transcript,
            peer: None,
        }
    }

    /// Whether both ends have contributed, so that a payload may be sealed.
    pub fn is_open(&self) -> bool {
        self.peer.is_some()
    }

    /// The next exchange's number.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Hash of the last ticket issued.
    pub fn previous(&self) -> TicketHash {
        self.previous
    }

    /// Begins an exchange: draws the next ticket and re-keys the root.
    ///
    /// # Errors
    /// [`Error::KeyShare`] if the producer's share cannot be answered,
    /// [`Error::Exhausted`] after 2^64 - 1 exchanges; the lane is then useless.
    pub fn begin<R: CryptoRng + ?Sized>(
        self,
        signer: &impl Sign,
        rng: &mut R,
    ) -> Result<(WaitingLane, Keyed<RequestHead>)> {
        let suite = self.context.suite;
        let (secret, share, agreed) = match &self.peer {
            None => {
                let (secret, share) = agreement::open(suite, rng);
                (secret, share, agreement::SharedSecret::default())
            }
            Some(peer) => agreement::answer(suite, peer, rng)?,
        };
        self.next.checked_add(1).ok_or(Error::Exhausted)?;
        let ticket = Ticket {
            suite,
            bundle: self.context.bundle,
            lane: self.lane,
            n: self.next,
            previous: self.previous,
            share_digest: share_digest(&share),
        };
        let mut head = RequestHead {
            ticket: ticket.sign(signer),
            share,
            commitment: [0; 32],
        };
        let transcript = self.transcript.absorb(&head.transcript_bytes());
        let step = self.consumer_root.rekey(&agreed, &transcript);
        head.commitment = step.commitment;
        let waiting = WaitingLane {
            context: self.context,
            ticket,
            consumer_root: step.root,
            producer_root: self.producer_root,
            transcript,
            secret,
        };
        Ok((
            waiting,
            Keyed {
                head,
                key: step.key,
                transcript,
            },
        ))
    }
}

impl WaitingLane {
    /// The ticket under way.
    pub fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    /// Takes the response's head and re-keys the producer's root.
    ///
    /// # Errors
    /// Any error leaves the lane waiting, unchanged: a forged or damaged head
    /// never disturbs it.
    pub fn receive(
        self,
        head: ResponseHead,
    ) -> std::result::Result<(IdleLane, Keyed<ResponseHead>), (Box<Self>, Error)> {
        match self.check(&head) {
            Err(error) => Err((Box::new(self), error)),
            Ok((peer, step, transcript)) => {
                let idle = IdleLane {
                    context: self.context,
                    lane: self.ticket.lane,
                    // `begin` has checked that this does not overflow.
                    next: self.ticket.n + 1,
                    previous: self.ticket.hash(),
                    consumer_root: self.consumer_root,
                    producer_root: step.root,
                    transcript,
                    peer: Some(peer),
                };
                Ok((
                    idle,
                    Keyed {
                        head,
                        key: step.key,
                        transcript,
                    },
                ))
            }
        }
    }

    fn check(&self, head: &ResponseHead) -> Result<(PeerShare, Step, Transcript)> {
        let ticket = &self.ticket;
        if head.suite != ticket.suite {
            return Err(Error::Suite);
        }
        if head.bundle != ticket.bundle || head.lane != ticket.lane {
            return Err(Error::Address);
        }
        if head.n != ticket.n || head.answers != ticket.hash() {
            return Err(Error::Unexpected);
        }
        let (peer, agreed) = agreement::receive(head.suite, Some(&self.secret), &head.share)?;
        let transcript = self.transcript.absorb(&head.transcript_bytes());
        let step = self.producer_root.rekey(&agreed, &transcript);
        if !bool::from(step.commitment.ct_eq(&head.commitment)) {
            return Err(Error::Commitment);
        }
        Ok((peer, step, transcript))
    }
}

/// A copy of an idle lane's whole state: what a thief of the consumer takes.
#[cfg(feature = "state-export")]
#[derive(
    Clone,
    PartialEq,
    Eq,
    serde::Serialize,
    serde::Deserialize,
    zeroize::Zeroize,
    zeroize::ZeroizeOnDrop,
)]
pub struct StolenLane {
    /// Lane number.
    pub lane: u32,
    /// Next exchange.
    pub next: u64,
    /// Hash of the last ticket.
    pub previous: [u8; 32],
    /// The consumer's root.
    pub consumer_root: [u8; 32],
    /// The producer's root.
    pub producer_root: [u8; 32],
    /// The transcript.
    pub transcript: [u8; 32],
    /// The producer's latest share, if the lane is open.
    pub peer: Option<Vec<u8>>,
}

#[cfg(feature = "state-export")]
impl IdleLane {
    /// Copies the state out.
    pub fn steal(&self) -> StolenLane {
        StolenLane {
            lane: self.lane,
            next: self.next,
            previous: self.previous.0,
            consumer_root: self.consumer_root.to_bytes(),
            producer_root: self.producer_root.to_bytes(),
            transcript: *self.transcript.as_bytes(),
            peer: self.peer.as_ref().map(PeerShare::to_bytes),
        }
    }

    /// Makes a second lane from a copied state.
    ///
    /// # Errors
    /// [`Error::KeyShare`] if the copied share is not one of the suite.
    pub fn from_stolen(context: Arc<BundleContext>, stolen: &StolenLane) -> Result<Self> {
        let suite = context.suite;
        Ok(Self {
            context,
            lane: stolen.lane,
            next: stolen.next,
            previous: TicketHash(stolen.previous),
            consumer_root: Root::from_bytes(stolen.consumer_root),
            producer_root: Root::from_bytes(stolen.producer_root),
            transcript: Transcript::from_bytes(stolen.transcript),
            peer: stolen
                .peer
                .as_ref()
                .map(|bytes| PeerShare::from_bytes(suite, bytes))
                .transpose()?,
        })
    }
}

impl IdleLane {
    /// Whether the ledger's head of this lane can be the consumer's own work:
    /// it is not ahead of what this lane issued and, where it is the same
    /// exchange, it is the same ticket. `false` proves another holder.
    pub fn owns_head(&self, n: u64, hash: TicketHash) -> bool {
        owns(self.next.checked_sub(1), self.previous, n, hash)
    }
}

impl WaitingLane {
    /// As [`IdleLane::owns_head`].
    pub fn owns_head(&self, n: u64, hash: TicketHash) -> bool {
        owns(Some(self.ticket.n), self.ticket.hash(), n, hash)
    }
}

fn owns(last: Option<u64>, last_hash: TicketHash, n: u64, hash: TicketHash) -> bool {
    match last {
        Some(last) if n < last => true,
        Some(last) if n == last => hash == last_hash,
        _ => false,
    }
}
