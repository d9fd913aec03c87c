//! A ticket that was issued and whose receipt is awaited.

use std::marker::PhantomData;

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;

use crate::{
    agreement::{self, PeerShare, ShareSecret, SharedSecret},
    v2::{
        body::{Body, BodyHash, Direction, Kind},
        enclave::{
            core::{Core, LaneMark},
            line::Line,
        },
        error::{HeadError, LaneError},
        message::{Evidence, Head, OpeningPart, SignedReceipt, Ticket},
        mode::Mode,
        rekey::SubEvidence,
        schedule::{MessageKey, Root, Transcript},
        time::{LocalTime, ProducerClock, ProducerTime},
        transient::{SignedTransient, Transient},
    },
};

use super::{
    asking::Asking,
    standing::{ReceiptStanding, judge},
};

/// What a new ticket says, besides what follows from the lane.
pub(super) struct Issue {
    pub(super) n: u64,
    pub(super) previous: BodyHash,
    pub(super) begin_by: ProducerTime,
    pub(super) mode: Mode,
    pub(super) commitment: [u8; 32],
    pub(super) opening: Option<OpeningPart>,
}

pub(super) struct InFlight {
    pub(super) core: Core,
    pub(super) ticket: Body,
    pub(super) mode: Mode,
    pub(super) begin_by: ProducerTime,
    /// None before the lane is open.
    pub(super) clock: Option<ProducerClock>,
    /// The receipt before, which may have to be shown.
    pub(super) receipt: Option<Evidence>,
    /// The last sub-receipt of its exchange: the ticket names both.
    pub(super) sub_evidence: Option<SubEvidence>,
    pub(super) secret: ShareSecret,
    /// Of a call.
    pub(super) asking: Option<Box<Asking>>,
}

/// What a receipt makes of the lane.
pub(super) struct Taken {
    pub(super) core: Core,
    pub(super) ticket: Body,
    pub(super) peer: PeerShare,
    pub(super) clock: ProducerClock,
    pub(super) receipt: Evidence,
    pub(super) key: MessageKey,
    pub(super) asking: Option<Box<Asking>>,
}

impl InFlight {
    pub(super) fn issue<R: CryptoRng + ?Sized>(
        core: Core,
        issue: Issue,
        peer: Option<&PeerShare>,
        rng: &mut R,
    ) -> Result<(Self, Ticket, MessageKey), LaneError> {
        issue.n.checked_add(1).ok_or(LaneError::Exhausted)?;
        let suite = core.context.suite().agreement();
        let (secret, share, agreed) = match peer {
            None => {
                let (secret, share) = agreement::open(suite, rng);
                (secret, share, SharedSecret::default())
            }
            Some(peer) => agreement::answer(suite, peer, rng).map_err(|_| LaneError::KeyShare)?,
        };
        let mut head: Ticket = Head {
            header: core.header(Kind::Ticket, issue.n),
            previous: issue.previous,
            moment: issue.begin_by.0,
            mode: issue.mode,
            reason: None,
            commitment: issue.commitment,
            share,
            opening: issue.opening,
            key_commitment: [0; 32],
            side: PhantomData,
        };
        let (step, transcript) = core.step(&head, &agreed);
        head.key_commitment = step.commitment;
        let ticket = head.body();
        let line = |root| Line::new(root, issue.n, ticket.hash());
        let in_flight = Self {
            core: core.moved(Direction::Request, step.root, transcript),
            ticket,
            asking: step.stream.map(|root| Box::new(Asking::new(line(root)))),
            mode: issue.mode,
            begin_by: issue.begin_by,
            clock: None,
            receipt: None,
            sub_evidence: None,
            secret,
        };
        Ok((in_flight, head, step.key))
    }

    /// Takes the receipt, if the producer's incarnation signed it for this ticket. The
    /// signature is verified before the share is used.
    pub(super) fn take(
        self,
        receipt: &SignedReceipt,
        now: LocalTime,
    ) -> Result<Taken, (Box<Self>, HeadError)> {
        let (body, peer, key, root, transcript) = match self.check(receipt) {
            Ok(checked) => checked,
            Err(error) => return Err((Box::new(self), error)),
        };
        let clock = ProducerClock {
            read: ProducerTime(receipt.message.moment),
            arrived: now,
        };
        Ok(Taken {
            core: self.core.moved(Direction::Response, root, transcript),
            ticket: self.ticket,
            asking: self.asking,
            peer,
            clock,
            receipt: receipt.evidence_of(body),
            key,
        })
    }

    fn check(
        &self,
        receipt: &SignedReceipt,
    ) -> Result<(Body, PeerShare, MessageKey, Root, Transcript), HeadError> {
        let head = &receipt.message;
        head.header.belongs(&self.core.context, self.core.lane)?;
        let body = receipt.verified(&self.core.context)?;
        if head.header.n != self.ticket.header.n || head.previous != self.ticket.hash() {
            return Err(HeadError::Unexpected);
        }
        if !head.mode.answers(self.mode) {
            return Err(HeadError::Mode);
        }
        let suite = self.core.context.suite().agreement();
        let (peer, agreed) = agreement::receive(suite, Some(&self.secret), &head.share)
            .map_err(|_| HeadError::KeyShare)?;
        let (step, transcript) = self.core.step(head, &agreed);
        match bool::from(step.commitment.ct_eq(&head.key_commitment)) {
            true => Ok((body, peer, step.key, step.root, transcript)),
            false => Err(HeadError::KeyCommitment),
        }
    }

    pub(super) fn put_off<'a>(
        &self,
        answer: &'a SignedTransient,
    ) -> Result<&'a Transient, HeadError> {
        let said = &answer.message;
        said.header.belongs(&self.core.context, self.core.lane)?;
        answer.verify(&self.core.context)?;
        match said.ticket == self.ticket.hash() && said.header.n == self.ticket.header.n {
            true => Ok(said),
            false => Err(HeadError::Unexpected),
        }
    }

    pub(super) fn judge(&self, receipt: &SignedReceipt) -> Result<ReceiptStanding, HeadError> {
        judge(&self.core, self.receipt.as_ref(), receipt)
    }

    pub(super) fn is_past(&self, now: LocalTime) -> bool {
        self.clock
            .is_some_and(|clock| clock.is_past(now, self.begin_by))
    }

    pub(super) fn mark(&self) -> LaneMark {
        LaneMark::of(&self.ticket)
    }
}
