//! A lane that owes a receipt, and gives exactly one.

use std::marker::PhantomData;

use rand_core::CryptoRng;

use crate::v2::{
    body::Direction,
    checkpoint::{CheckpointSigner, Place},
    enclave::{
        core::{LaneMark, LaneMarks, checked_log_head},
        streams::{After, Streaming},
    },
    error::{HeadError, LaneError},
    message::{OpeningPart, Receipt, Response, SignedTicket},
    mode::Mode,
    proof::Unsigned,
    proxy::{self, Conclusion, Outgoing, keys::Keys},
    secret::Secret,
    time::ProducerTime,
};

use super::{
    owed::Say,
    standing::{Standing, against, verified},
    states::{Answering, Bare, Opened, Ready},
};

/// A lane after its bare ticket's receipt.
pub enum BareAfter {
    /// It goes on.
    Ready(Box<Ready>),
    /// That was its last.
    Ended(LaneMark),
}

/// How a call was concluded.
pub struct Concluded {
    /// The lane.
    pub lane: After<Ready>,
    /// The call's one receipt.
    pub receipt: Unsigned<Receipt>,
    /// For the proxy to seal the response, where there is one.
    pub outgoing: Option<Outgoing<Response>>,
}

impl Opened {
    /// Issues receipt 0: our share, our clock, and the log head that we have pinned.
    ///
    /// # Errors
    /// [`LaneError`]; the lane is then useless.
    pub fn answer<R: CryptoRng + ?Sized>(
        self,
        log_head: &[u8],
        clock: ProducerTime,
        rng: &mut R,
    ) -> Result<(Ready, Unsigned<Receipt>), LaneError> {
        let opening = OpeningPart {
            replaces: None,
            log_head: checked_log_head(log_head)?,
        };
        let said = self.0.say(empty(clock, Some(opening)), rng)?;
        let (ready, receipt, _) = Ready::after(said)?;
        Ok((ready, receipt))
    }
}

impl Bare {
    /// Issues the receipt.
    ///
    /// # Errors
    /// [`LaneError`]; the lane is then useless.
    pub fn answer<R: CryptoRng + ?Sized>(
        self,
        clock: ProducerTime,
        rng: &mut R,
    ) -> Result<(BareAfter, Unsigned<Receipt>), LaneError> {
        let mode = self.0.mode;
        let said = self.0.say(empty(clock, None), rng)?;
        let (ready, receipt, _) = Ready::after(said)?;
        let after = match mode {
            Mode::Last => BareAfter::Ended(ready.mark()),
            _ => BareAfter::Ready(Box::new(ready)),
        };
        Ok((after, receipt))
    }
}

impl Answering {
    /// How far the lane has come, which was `before` when the ticket was accepted.
    pub fn marks(&self, before: LaneMarks) -> LaneMarks {
        let told = self.0.told.as_ref();
        let sub = told.and_then(|told| told.line.mark(self.0.core.lane));
        LaneMarks {
            sub: sub.or(before.sub),
            ..before
        }
    }

    /// Issues the call's one receipt.
    ///
    /// # Errors
    /// [`LaneError::Conclusion`] if it is another ticket's conclusion; otherwise the lane
    /// is useless.
    pub fn conclude<R: CryptoRng + ?Sized>(
        self,
        conclusion: Conclusion,
        clock: ProducerTime,
        rng: &mut R,
    ) -> Result<Concluded, (Option<Box<Self>>, LaneError)> {
        let ticket = self.0.hash();
        if conclusion.ticket != ticket {
            return Err((Some(Box::new(self)), LaneError::Conclusion));
        }
        let first = Place::first(self.0.n(), ticket);
        // It may have been re-keyed before its receipt.
        let place = self.0.told.as_ref().map_or(first, |told| told.line.place);
        let request = self.0.mode;
        let refused = |mode, reason| Say {
            clock,
            mode,
            reason: Some(reason),
            commitment: [0; 32],
            opening: None,
        };
        let (say, blinding) = match conclusion.concluded {
            proxy::Concluded::Refused(reason) => (refused(Mode::Refused, reason), None),
            proxy::Concluded::Aborted(reason) => (refused(Mode::Aborted, reason), None),
            proxy::Concluded::Content(claim) => {
                let blinding = Secret::written(|bytes| rng.fill_bytes(bytes));
                let say = Say {
                    clock,
                    mode: claim.mode,
                    reason: None,
                    commitment: claim.commitment(Direction::Response, &blinding),
                    opening: None,
                };
                (say, Some(blinding))
            }
        };
        let (mode, commitment) = (say.mode, say.commitment);
        let mut said = self.0.say(say, rng).map_err(|error| (None, error))?;
        if mode != Mode::Stream && request != Mode::Stream {
            said.told = None;
        }
        let (context, body) = (said.core.context.clone(), said.body);
        let (lane, receipt, key) = Ready::after(said).map_err(|error| (None, error))?;
        let outgoing = blinding.map(|blinding| Outgoing {
            keys: Keys {
                suite: context.suite(),
                mode,
                place: first,
                body: body.hash(),
                commitment,
                key,
                side: PhantomData,
            },
            blinding,
        });
        let own = (mode == Mode::Stream).then(|| CheckpointSigner::new(Direction::Response, place));
        // A receipt without content ends both directions.
        let peer =
            (request == Mode::Stream && mode.has_content()).then_some((Direction::Request, place));
        Ok(Concluded {
            lane: Streaming::around(lane, context, own, peer),
            receipt,
            outgoing,
        })
    }
}

macro_rules! owes {
    ($($lane:ident),*) => {$(
        impl $lane {
            /// Judges a ticket that arrives while this one is being answered.
            ///
            /// # Errors
            /// [`HeadError`]: it is not the consumer's, and proves nothing.
            pub fn judge(&self, ticket: &SignedTicket) -> Result<Standing, HeadError> {
                let body = verified(&self.0.core, ticket)?;
                Ok(against(&self.0.ticket, &body, self.0.n().saturating_add(1)))
            }
        }
    )*};
}
owes!(Opened, Bare, Answering);

fn empty(clock: ProducerTime, opening: Option<OpeningPart>) -> Say {
    Say {
        clock,
        mode: Mode::Empty,
        reason: None,
        commitment: [0; 32],
        opening,
    }
}
