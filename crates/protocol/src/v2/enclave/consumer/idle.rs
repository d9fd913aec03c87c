//! A lane between two exchanges, and before its first.

use std::marker::PhantomData;

use rand_core::CryptoRng;

use crate::v2::{
    body::{BodyHash, Direction},
    checkpoint::{CheckpointSigner, Place},
    content::ContentClaim,
    enclave::core::{LaneMark, LaneMarks, checked_log_head},
    error::{HeadError, LaneError},
    message::{Evidence, OpeningPart, Request, SignedReceipt, Ticket},
    mode::Mode,
    proof::Unsigned,
    proxy::{Outgoing, keys::Keys},
    rekey::{SignedSubReceipt, SubEvidence},
    schedule::MessageKey,
    secret::Secret,
    time::{LocalTime, ProducerTime},
};

use super::{
    asking::{SubReceiptStanding, judge_sub},
    in_flight::{InFlight, Issue, Taken},
    standing::{ReceiptStanding, judge},
    states::{Closing, Fresh, Idle, Opening, Refreshing, Waiting},
};

impl Fresh {
    /// Issues ticket 0, which carries no content: our share, and the log head that we
    /// have pinned. `replaces` names a lane that was given up.
    ///
    /// # Errors
    /// [`LaneError::LogHead`] if that is too long.
    pub fn open<R: CryptoRng + ?Sized>(
        self,
        log_head: &[u8],
        replaces: Option<u16>,
        rng: &mut R,
    ) -> Result<(Opening, Unsigned<Ticket>), LaneError> {
        let opening = OpeningPart {
            replaces,
            log_head: checked_log_head(log_head)?,
        };
        let issue = Issue {
            n: 0,
            previous: BodyHash::opening(&self.core.context, self.core.lane),
            begin_by: ProducerTime(0),
            mode: Mode::Empty,
            commitment: [0; 32],
            opening: Some(opening),
        };
        let (in_flight, ticket, _) = InFlight::issue(self.core, issue, None, rng)?;
        let unsigned = Unsigned::new(ticket, &in_flight.core.context);
        Ok((Opening(in_flight), unsigned))
    }
}

impl Idle {
    pub(super) fn after(taken: Taken) -> (Self, MessageKey) {
        let idle = Self {
            core: taken.core,
            // Issuing has checked that this does not overflow.
            next: taken.ticket.header.n + 1,
            ticket: taken.ticket,
            peer: taken.peer,
            clock: taken.clock,
            receipt: taken.receipt,
            asked: None,
            sub_receipt: None,
            sub_evidence: None,
            asking: taken.asking,
        };
        (idle, taken.key)
    }

    /// Begins a call, which the producer must begin within `budget` milliseconds from
    /// `now`.
    ///
    /// # Errors
    /// [`LaneError`]; the lane is then useless.
    pub fn begin<R: CryptoRng + ?Sized>(
        self,
        claim: ContentClaim,
        now: LocalTime,
        budget: u32,
        rng: &mut R,
    ) -> Result<(Waiting, Unsigned<Ticket>, Outgoing<Request>), LaneError> {
        let blinding = Secret::written(|bytes| rng.fill_bytes(bytes));
        let commitment = claim.commitment(Direction::Request, &blinding);
        let (in_flight, ticket, key) = self.issue(claim.mode, commitment, now, budget, rng)?;
        let (body, context) = (in_flight.ticket.hash(), &in_flight.core.context);
        let place = Place::first(in_flight.ticket.header.n, body);
        let keys = Keys {
            suite: context.suite(),
            mode: claim.mode,
            place,
            segments: 0,
            body,
            commitment,
            key,
            side: PhantomData,
        };
        let stream =
            (claim.mode == Mode::Stream).then(|| CheckpointSigner::new(Direction::Request, place));
        let unsigned = Unsigned::new(ticket, context);
        let waiting = Waiting { in_flight, stream };
        let outgoing = Outgoing {
            keys,
            blinding,
            epoch: None,
        };
        Ok((waiting, unsigned, outgoing))
    }

    /// Issues a ticket without content, which re-keys the lane and reads the producer's
    /// clock.
    ///
    /// # Errors
    /// [`LaneError`]; the lane is then useless.
    pub fn refresh<R: CryptoRng + ?Sized>(
        self,
        now: LocalTime,
        rng: &mut R,
    ) -> Result<(Refreshing, Unsigned<Ticket>), LaneError> {
        let (in_flight, ticket, _) = self.issue(Mode::Empty, [0; 32], now, 0, rng)?;
        let unsigned = Unsigned::new(ticket, &in_flight.core.context);
        Ok((Refreshing(in_flight), unsigned))
    }

    /// Issues the lane's last ticket, which closes it at both ends.
    ///
    /// # Errors
    /// [`LaneError`]; the lane is then useless.
    pub fn close<R: CryptoRng + ?Sized>(
        self,
        now: LocalTime,
        rng: &mut R,
    ) -> Result<(Closing, Unsigned<Ticket>), LaneError> {
        let (in_flight, ticket, _) = self.issue(Mode::Last, [0; 32], now, 0, rng)?;
        let unsigned = Unsigned::new(ticket, &in_flight.core.context);
        Ok((Closing(in_flight), unsigned))
    }

    fn issue<R: CryptoRng + ?Sized>(
        self,
        mode: Mode,
        commitment: [u8; 32],
        now: LocalTime,
        budget: u32,
        rng: &mut R,
    ) -> Result<(InFlight, Ticket, MessageKey), LaneError> {
        let issue = Issue {
            n: self.next,
            previous: BodyHash::after_rekeyed(&self.receipt.body, self.sub_receipt),
            begin_by: self.clock.begin_by(now, budget),
            mode,
            commitment,
            opening: None,
        };
        let (in_flight, ticket, key) = InFlight::issue(self.core, issue, Some(&self.peer), rng)?;
        let in_flight = InFlight {
            clock: Some(self.clock),
            receipt: Some(self.receipt),
            sub_evidence: self.sub_evidence,
            ..in_flight
        };
        Ok((in_flight, ticket, key))
    }

    /// The next exchange's number.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// How far the lane has come.
    pub fn mark(&self) -> LaneMark {
        LaneMark::of(&self.ticket)
    }

    /// And the line of sub-tickets of its last exchange.
    pub fn marks(&self) -> LaneMarks {
        let asked = self.asking.as_ref().and_then(|asking| asking.asked);
        LaneMarks {
            mark: self.mark(),
            sub: asked.or(self.asked),
        }
    }

    /// The last receipt: where the producer says that it is not its own, this proves that
    /// somebody signed it with its key.
    pub fn receipt(&self) -> &Evidence {
        &self.receipt
    }

    /// The last sub-receipt of the last exchange, if its streams were re-keyed: the next
    /// ticket names it beside [`Idle::receipt`], and who disputes one is shown both.
    pub fn sub_receipt(&self) -> Option<&SubEvidence> {
        self.sub_evidence.as_ref()
    }

    /// Judges a sub-receipt of an exchange that is over.
    ///
    /// # Errors
    /// [`HeadError`]: it is not the producer's, and proves nothing.
    pub fn judge_sub(&self, receipt: &SignedSubReceipt) -> Result<SubReceiptStanding, HeadError> {
        judge_sub(&self.core, self.sub_evidence.as_ref(), receipt)
    }

    /// Judges a receipt that nobody awaits.
    ///
    /// # Errors
    /// [`HeadError`]: it is not the producer's, and proves nothing.
    pub fn judge(&self, receipt: &SignedReceipt) -> Result<ReceiptStanding, HeadError> {
        judge(&self.core, Some(&self.receipt), receipt)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ed25519_dalek::SigningKey;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;
    use crate::v2::{
        content::{DigestKind, Padding},
        enclave::{consumer, core::Core, producer},
        message::Receipt,
        schedule::BundleSecret,
        suite::Suite,
        testing::context,
    };

    /// A lane after its opening, the same for the same suite.
    fn opened(suite: Suite) -> (Idle, producer::Ready, ChaCha20Rng) {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let context = Arc::new(context(suite));
        let secret = || BundleSecret::from_bytes([7; 32]);
        let (consumer, producer) = (
            SigningKey::from_bytes(&[1; 32]),
            SigningKey::from_bytes(&[2; 32]),
        );
        let mut lanes = consumer::Lanes::new(context.clone(), secret(), 1);
        let mut theirs = producer::Lanes::new(context, secret(), 1);
        let fresh = lanes.fresh().unwrap();
        let (opening, ticket) = fresh.open(&[], None, &mut rng).unwrap();
        let (opened, _) = theirs.open(&ticket.sign(&consumer)).unwrap();
        let (ready, receipt) = opened.answer(&[], ProducerTime(0), &mut rng).unwrap();
        let receipt = receipt.sign(&producer);
        let idle = opening.receive(&receipt, LocalTime(0));
        (idle.map_err(|(_, error)| error).unwrap(), ready, rng)
    }

    /// R3: whoever stole both roots, the transcript and the peer's share, and sees all that
    /// is sent, cannot make the next message's key without a private ephemeral.
    #[test]
    fn r3_stolen_roots_are_useless_after_the_next_exchange() {
        for suite in Suite::ALL {
            let (stolen, _, _) = opened(suite);
            let (idle, _, mut rng) = opened(suite);
            let claim = ContentClaim::of(Mode::Whole, b"secret", DigestKind::Sha256, Padding::None);
            let (_, ticket, outgoing) = idle.begin(claim, LocalTime(0), 1, &mut rng).unwrap();
            let ticket = ticket.sign(&SigningKey::from_bytes(&[1; 32]));
            let head = &ticket.message;
            for guess in [
                &[][..],
                &[0; 32],
                &[0; 64],
                &head.share,
                &head.share[..32],
                stolen.receipt.body.rest.as_slice(),
            ] {
                let (step, _) = stolen.core.step(head, guess);
                assert_ne!(step.commitment, head.key_commitment);
                assert_ne!(step.key.as_bytes(), outgoing.keys.key.as_bytes());
            }
        }
    }

    /// R8: the next root depends on what the consumer draws, and on the producer's share.
    #[test]
    fn r8_roots_depend_on_fresh_material_of_both_ends() {
        for suite in Suite::ALL {
            let claim = ContentClaim::of(Mode::Whole, b"x", DigestKind::Sha256, Padding::None);
            let commitments: Vec<[u8; 32]> = [1, 2]
                .iter()
                .map(|seed| {
                    let (idle, _, _) = opened(suite);
                    let mut rng = ChaCha20Rng::from_seed([*seed + 50; 32]);
                    let (_, ticket, _) = idle.begin(claim, LocalTime(0), 1, &mut rng).unwrap();
                    let ticket = ticket.sign(&SigningKey::from_bytes(&[1; 32]));
                    ticket.message.key_commitment
                })
                .collect();
            assert_ne!(commitments[0], commitments[1]);
            // An answer to another share of the producer's is not understood.
            let (idle, ready, mut rng) = opened(suite);
            let mut mixed = idle;
            let other = InFlight::issue(
                Core::new(
                    &BundleSecret::from_bytes([8; 32]).into_keys(),
                    mixed.core.context.clone(),
                    0,
                ),
                Issue {
                    n: 0,
                    previous: BodyHash([0; 32]),
                    begin_by: ProducerTime(0),
                    mode: Mode::Empty,
                    commitment: [0; 32],
                    opening: None,
                },
                None,
                &mut rng,
            );
            let (_, stranger, _) = other.unwrap();
            let agreement = suite.agreement();
            mixed.peer = crate::agreement::receive(agreement, None, &stranger.share)
                .unwrap()
                .0;
            let (_, ticket, _) = mixed.begin(claim, LocalTime(0), 1, &mut rng).unwrap();
            let ticket = ticket.sign(&SigningKey::from_bytes(&[1; 32]));
            let (_, error) = ready.accept(&ticket).err().unwrap();
            assert_eq!(error, HeadError::KeyCommitment.into());
        }
    }

    /// What only the producer itself could send: signed, and wrong.
    #[test]
    fn a_signed_receipt_must_fit_the_ticket_and_the_roots() {
        let producer = SigningKey::from_bytes(&[2; 32]);
        for suite in Suite::ALL {
            let (idle, ready, mut rng) = opened(suite);
            let context = idle.core.context.clone();
            let (refreshing, ticket) = idle.refresh(LocalTime(0), &mut rng).unwrap();
            let ticket = ticket.sign(&SigningKey::from_bytes(&[1; 32]));
            let Ok(producer::Accepted::Bare(bare)) = ready.accept(&ticket) else {
                panic!("it carries no content");
            };
            let (_, receipt) = bare.answer(ProducerTime(0), &mut rng).unwrap();
            let genuine = receipt.sign(&producer);
            type Change = fn(&mut Receipt);
            let changes: [(Change, HeadError); 4] = [
                (|head| head.mode = Mode::Whole, HeadError::Mode),
                (|head| head.mode = Mode::Refused, HeadError::Mode),
                (|head| head.share[..32].fill(0), HeadError::KeyShare),
                (|head| head.key_commitment[0] ^= 1, HeadError::KeyCommitment),
            ];
            let mut waiting = Box::new(refreshing);
            for (change, expected) in changes {
                let mut head = genuine.message.clone();
                change(&mut head);
                let forged = Unsigned::new(head, &context).sign(&producer);
                let error;
                (waiting, error) = waiting.receive(&forged, LocalTime(0)).err().unwrap();
                assert_eq!(error, expected);
            }
            assert!(waiting.receive(&genuine, LocalTime(0)).is_ok());
        }
    }
}
