//! A ticket that was accepted and whose receipt is owed.

use std::marker::PhantomData;

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;

use crate::{
    agreement::{self, PeerShare, ShareSecret},
    v2::{
        body::{Body, BodyHash, Direction, Kind},
        enclave::{core::Core, line::Line},
        error::{HeadError, LaneError},
        message::{Evidence, Head, OpeningPart, Receipt, SignedTicket},
        mode::{Mode, Reason},
        schedule::MessageKey,
        time::ProducerTime,
    },
};

use super::told::Told;

pub(super) struct Owed {
    pub(super) core: Core,
    pub(super) ticket: Evidence,
    pub(super) mode: Mode,
    /// Of a call.
    pub(super) told: Option<Box<Told>>,
    peer: PeerShare,
}

/// What a receipt says, besides what follows from the ticket.
pub(super) struct Say {
    pub(super) clock: ProducerTime,
    pub(super) mode: Mode,
    pub(super) reason: Option<Reason>,
    pub(super) commitment: [u8; 32],
    pub(super) opening: Option<OpeningPart>,
}

/// What a receipt makes of the lane.
pub(super) struct Said {
    pub(super) core: Core,
    pub(super) ticket: Evidence,
    pub(super) receipt: Receipt,
    pub(super) body: Body,
    pub(super) secret: ShareSecret,
    pub(super) key: MessageKey,
    pub(super) told: Option<Box<Told>>,
}

impl Owed {
    /// Takes a ticket whose signature and place have been verified; `body` is its body.
    pub(super) fn take(
        core: Core,
        secret: Option<&ShareSecret>,
        ticket: &SignedTicket,
        body: Body,
    ) -> Result<(Self, MessageKey), (Core, HeadError)> {
        let head = &ticket.message;
        let suite = core.context.suite().agreement();
        let Ok((peer, agreed)) = agreement::receive(suite, secret, &head.share) else {
            return Err((core, HeadError::KeyShare));
        };
        let (step, transcript) = core.step(head, &agreed);
        if !bool::from(step.commitment.ct_eq(&head.key_commitment)) {
            return Err((core, HeadError::KeyCommitment));
        }
        let line = |root| Line::new(root, body.header.n, body.hash());
        let owed = Self {
            told: step.stream.map(|root| Box::new(Told::new(line(root)))),
            core: core.moved(Direction::Request, step.root, transcript),
            ticket: ticket.evidence_of(body),
            mode: head.mode,
            peer,
        };
        Ok((owed, step.key))
    }

    pub(super) fn n(&self) -> u64 {
        self.ticket.body.header.n
    }

    pub(super) fn hash(&self) -> BodyHash {
        self.ticket.body.hash()
    }

    /// The ticket's one receipt.
    pub(super) fn say<R: CryptoRng + ?Sized>(
        self,
        say: Say,
        rng: &mut R,
    ) -> Result<Said, LaneError> {
        let suite = self.core.context.suite().agreement();
        let (secret, share, agreed) =
            agreement::answer(suite, &self.peer, rng).map_err(|_| LaneError::KeyShare)?;
        let mut receipt: Receipt = Head {
            header: self.core.header(Kind::Receipt, self.n()),
            previous: self.hash(),
            moment: say.clock.0,
            mode: say.mode,
            reason: say.reason,
            commitment: say.commitment,
            share,
            opening: say.opening,
            key_commitment: [0; 32],
            side: PhantomData,
        };
        let (step, transcript) = self.core.step(&receipt, &agreed);
        receipt.key_commitment = step.commitment;
        Ok(Said {
            core: self.core.moved(Direction::Response, step.root, transcript),
            ticket: self.ticket,
            told: self.told,
            body: receipt.body(),
            receipt,
            secret,
            key: step.key,
        })
    }
}
