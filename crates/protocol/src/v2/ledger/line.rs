//! Lines of sub-tickets and sub-receipts: how they are reported and compared. A line begins
//! with its exchange's ticket, and has the form of a lane: what differs is what is named.

use std::iter;

use super::{MAX_RESTS, read_proof, write_proof};
use crate::{
    crypto::Sign,
    v2::{
        body::BodyHash,
        context::Context,
        error::HeadError,
        fields::Reader,
        proof::Proof,
        rekey::{SubBody, SubEvidence, SubKind},
    },
};

/// A place in a line: 2k is sub-ticket k's, 2k + 1 its sub-receipt's, from 2 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubPosition(pub u64);

impl SubPosition {
    /// Of sub-ticket k.
    pub fn of_ticket(k: u32) -> Self {
        Self(2 * u64::from(k))
    }

    /// The sub-ticket's number; `None` if there is no such place.
    pub fn k(self) -> Option<u32> {
        u32::try_from(self.0 / 2).ok().filter(|k| *k > 0)
    }

    /// What stands there.
    pub fn kind(self) -> SubKind {
        match self.0 % 2 {
            0 => SubKind::Ticket,
            _ => SubKind::Receipt,
        }
    }
}

/// The bodies of a part of exchange n's line that begins at a position, from their rests. Each
/// but the first names the one before.
///
/// # Errors
/// [`HeadError::Malformed`] if there are no such positions.
pub fn sub_bodies(
    context: &Context,
    (lane, n): (u16, u64),
    first: SubPosition,
    previous: BodyHash,
    rests: &[[u8; 32]],
) -> Result<Vec<SubBody>, HeadError> {
    let mut previous = previous;
    let places = (first.0..).map(SubPosition);
    let bodies = rests.iter().zip(places).map(|(rest, place)| {
        let body = SubBody {
            suite: context.suite(),
            kind: place.kind(),
            bundle: context.binding().bundle,
            lane,
            n,
            k: place.k().ok_or(HeadError::Malformed)?,
            previous,
            rest: *rest,
        };
        previous = body.hash();
        Ok(body)
    });
    bodies.collect()
}

/// A part of one exchange's line without holes: 32 bytes for each sub-ticket and each
/// sub-receipt, in turn, and the last proof of either kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubRun {
    /// The lane.
    pub lane: u16,
    /// The exchange.
    pub n: u64,
    /// Number of the first sub-ticket, from 1.
    pub first: u32,
    /// What the first sub-ticket names: ticket n, or the sub-receipt before.
    pub previous: BodyHash,
    /// What is left of each body: its rest's hash.
    pub rests: Vec<[u8; 32]>,
    /// Of the last sub-ticket.
    pub ticket: Proof,
    /// Of the last sub-receipt, if there is one.
    pub receipt: Option<Proof>,
}

/// A sub-ticket, and its sub-receipt unless it is the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubExchange {
    /// The consumer's half.
    pub ticket: SubBody,
    /// The producer's.
    pub receipt: Option<SubBody>,
}

impl SubRun {
    /// A run of one sub-ticket.
    pub fn of(ticket: &SubEvidence) -> Self {
        let body = &ticket.body;
        Self {
            lane: body.lane,
            n: body.n,
            first: body.k,
            previous: body.previous,
            rests: vec![body.rest],
            ticket: ticket.proof.clone(),
            receipt: None,
        }
    }

    /// Appends what follows the run's last body `last`; returns whether it does.
    pub fn push(&mut self, last: &SubBody, next: &SubEvidence) -> bool {
        let body = &next.body;
        let (kind, k) = match last.kind {
            SubKind::Ticket => (SubKind::Receipt, Some(last.k)),
            SubKind::Receipt => (SubKind::Ticket, last.k.checked_add(1)),
        };
        let place = |body: &SubBody| (body.suite, body.bundle, body.lane, body.n);
        let follows = place(body) == place(last)
            && (body.kind, Some(body.k)) == (kind, k)
            && body.previous == last.hash();
        if follows {
            self.rests.push(body.rest);
            match body.kind {
                SubKind::Ticket => self.ticket = next.proof.clone(),
                SubKind::Receipt => self.receipt = Some(next.proof.clone()),
            }
        }
        follows
    }

    /// A run as both ends sign it, from the rests of its sub-tickets and sub-receipts in turn;
    /// `None` if there is no such run. For benchmarks and tests: it takes both ends' keys.
    pub fn signed(
        context: &Context,
        (lane, n): (u16, u64),
        first: u32,
        previous: BodyHash,
        rests: Vec<[u8; 32]>,
        keys: (&impl Sign, &impl Sign),
    ) -> Option<Self> {
        let place = SubPosition::of_ticket(first);
        let all = sub_bodies(context, (lane, n), place, previous, &rests).ok()?;
        let last = |kind: SubKind| all.iter().rev().find(|body| body.kind == kind);
        let ticket = SubEvidence::sign(last(SubKind::Ticket)?, context, keys.0).proof;
        let receipt =
            last(SubKind::Receipt).map(|body| SubEvidence::sign(body, context, keys.1).proof);
        Some(Self {
            lane,
            n,
            first,
            previous,
            rests,
            ticket,
            receipt,
        })
    }

    /// The part of the run from sub-ticket `k` on, which its proofs vouch for as they do for
    /// all of it; `None` if it does not hold that sub-ticket.
    pub fn from_sub_ticket(&self, context: &Context, k: u32) -> Option<Self> {
        let skip = 2 * usize::try_from(k.checked_sub(self.first)?).ok()?;
        let bodies = self.bodies(context).ok()?;
        let first = bodies.get(skip)?;
        let left = &bodies[skip..];
        let has_receipt = left.iter().any(|body| body.kind == SubKind::Receipt);
        Some(Self {
            lane: self.lane,
            n: self.n,
            first: k,
            previous: first.previous,
            rests: left.iter().map(|body| body.rest).collect(),
            ticket: self.ticket.clone(),
            receipt: self.receipt.clone().filter(|_| has_receipt),
        })
    }

    /// The last sub-ticket and the last sub-receipt, with their proofs.
    ///
    /// # Errors
    /// [`HeadError::Malformed`].
    pub fn heads(
        &self,
        context: &Context,
    ) -> Result<(SubEvidence, Option<SubEvidence>), HeadError> {
        let all = self.bodies(context)?;
        let last = |kind: SubKind| all.iter().rev().find(|body| body.kind == kind);
        let evidence = |(body, proof): (&SubBody, &Proof)| SubEvidence {
            body: *body,
            proof: proof.clone(),
        };
        let ticket = last(SubKind::Ticket).ok_or(HeadError::Malformed)?;
        let receipt = last(SubKind::Receipt).zip(self.receipt.as_ref());
        Ok((evidence((ticket, &self.ticket)), receipt.map(evidence)))
    }

    /// The bytes: lane, n, k of the first, previous, count(4), the rests, length(2) and proof
    /// of the last sub-ticket, length(2) and proof of the last sub-receipt, 0 if there is none.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.lane.to_be_bytes().to_vec();
        out.extend_from_slice(&self.n.to_be_bytes());
        out.extend_from_slice(&self.first.to_be_bytes());
        out.extend_from_slice(&self.previous.0);
        out.extend_from_slice(&(self.rests.len() as u32).to_be_bytes());
        out.extend_from_slice(self.rests.as_flattened());
        write_proof(&mut out, Some(&self.ticket));
        write_proof(&mut out, self.receipt.as_ref());
        out
    }

    /// Reads what [`SubRun::to_bytes`] wrote; nothing is verified.
    ///
    /// # Errors
    /// [`HeadError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HeadError> {
        let mut reader = Reader::new(bytes);
        let (lane, n, first) = (reader.u16()?, reader.u64()?, reader.u32()?);
        let previous = BodyHash(reader.array()?);
        let count = reader.u32()? as usize;
        if count > MAX_RESTS {
            return Err(HeadError::Malformed);
        }
        let rests = (0..count).map(|_| reader.array());
        let rests = rests.collect::<Result<_, _>>()?;
        let ticket = read_proof(&mut reader)?.ok_or(HeadError::Malformed)?;
        let receipt = read_proof(&mut reader)?;
        reader.end()?;
        Ok(Self {
            lane,
            n,
            first,
            previous,
            rests,
            ticket,
            receipt,
        })
    }

    /// The run's sub-tickets, each with its sub-receipt, once its two proofs have been checked.
    ///
    /// # Errors
    /// [`HeadError::Malformed`] or [`HeadError::Signature`]: it is nobody's word.
    pub fn verified(&self, context: &Context) -> Result<Vec<SubExchange>, HeadError> {
        let (ticket, receipt) = self.heads(context)?;
        ticket.verify(context)?;
        let bodies = self.bodies(context)?;
        match receipt {
            Some(receipt) => receipt.verify(context)?,
            None if bodies.len() == 1 && self.receipt.is_none() => {}
            None => return Err(HeadError::Malformed),
        }
        let pairs = bodies.chunks(2);
        let exchanges = pairs.filter_map(|pair| {
            Some(SubExchange {
                ticket: *pair.first()?,
                receipt: pair.get(1).copied(),
            })
        });
        Ok(exchanges.collect())
    }

    /// The bodies, each of which names the one before. A lane's exchange 0 has no line.
    fn bodies(&self, context: &Context) -> Result<Vec<SubBody>, HeadError> {
        if self.rests.is_empty() || self.n == 0 || self.first == 0 {
            return Err(HeadError::Malformed);
        }
        let first = SubPosition::of_ticket(self.first);
        let place = (self.lane, self.n);
        sub_bodies(context, place, first, self.previous, &self.rests)
    }
}

/// What a reported part of a line is to the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineVerdict {
    /// All of it is recorded.
    Known,
    /// What follows the record begins at this index of the run.
    Extends {
        /// The first sub-ticket of which something is new.
        from: usize,
    },
    /// It starts after the record's end.
    Gap {
        /// The sub-ticket that the ledger needs first.
        expected: u32,
    },
    /// The consumer signed two things in one place: its state was copied.
    ConsumerClone {
        /// The sub-ticket.
        k: u32,
    },
    /// The producer signed two sub-receipts for one sub-ticket: its state was copied.
    ProducerClone {
        /// The sub-ticket.
        k: u32,
    },
    /// Another sub-receipt is named than the recorded one, and the producer's word for it is
    /// missing. The consumer can show it; else the finding is the consumer's.
    ForeignReceipt {
        /// The sub-ticket.
        k: u32,
    },
}

/// Compares a part of a line with its record.
///
/// `ticket` is H of the exchange's recorded ticket. `recorded` holds, in order and without
/// holes, every recorded sub-ticket from the one before the run's first on, as far as there is
/// one; or, for a run that is further ahead, the last. `is_closed` says whether the next ticket
/// is recorded, and with it the whole line: then whatever goes on with it contradicts that
/// ticket, since no consumer signs one while a sub-ticket of its own waits, nor a sub-ticket
/// after it. Both must be [`SubRun::verified`].
pub fn compare_line(
    ticket: BodyHash,
    recorded: &[SubExchange],
    is_closed: bool,
    reported: &[SubExchange],
) -> LineVerdict {
    let (Some(first), Some(last)) = (reported.first(), reported.last()) else {
        return LineVerdict::Known;
    };
    let of = |k: u32| recorded.iter().find(|mine| mine.ticket.k == k);
    for theirs in reported {
        let k = theirs.ticket.k;
        if k == 1 && theirs.ticket.previous != ticket {
            // The record's ticket is the consumer's word, and so is the other one.
            return LineVerdict::ConsumerClone { k };
        }
        let before = k.checked_sub(1).and_then(of).and_then(|mine| mine.receipt);
        if before.is_some_and(|receipt| receipt.hash() != theirs.ticket.previous) {
            return dispute(k - 1, recorded, reported);
        }
        let Some(mine) = of(k) else { continue };
        if mine.ticket != theirs.ticket {
            return match mine.ticket.previous == theirs.ticket.previous {
                true => LineVerdict::ConsumerClone { k },
                false => dispute(k.saturating_sub(1), recorded, reported),
            };
        }
        if let (Some(mine), Some(theirs)) = (mine.receipt, theirs.receipt)
            && mine != theirs
        {
            return dispute(k, recorded, reported);
        }
    }
    let known = |theirs: &SubExchange| {
        of(theirs.ticket.k).is_some_and(|mine| mine.receipt.is_some() || theirs.receipt.is_none())
    };
    // What is needed next: the last one again while its sub-receipt is missing.
    let expected = recorded.last().map_or(1, |mine| match mine.receipt {
        Some(_) => mine.ticket.k.saturating_add(1),
        None => mine.ticket.k,
    });
    let new = reported.iter().position(|theirs| !known(theirs));
    match new {
        None => LineVerdict::Known,
        // Older than what was handed in as the record: nothing to compare it with.
        Some(_) if last.ticket.k < expected => LineVerdict::Known,
        Some(from) if is_closed => LineVerdict::ConsumerClone {
            k: reported
                .get(from)
                .map_or(first.ticket.k, |one| one.ticket.k),
        },
        Some(_) if first.ticket.k > expected => LineVerdict::Gap { expected },
        Some(from) => LineVerdict::Extends { from },
    }
}

/// Two sub-receipts k: whose finding is it? The producer's if it vouches for both: each run's
/// proof of its last sub-receipt does so for those before.
fn dispute(k: u32, recorded: &[SubExchange], reported: &[SubExchange]) -> LineVerdict {
    let vouched = |run: &[SubExchange]| {
        let receipts = run.iter().filter_map(|one| one.receipt);
        receipts.map(|receipt| receipt.k).max() >= Some(k)
    };
    match vouched(recorded) && vouched(reported) {
        true => LineVerdict::ProducerClone { k },
        false => LineVerdict::ForeignReceipt { k },
    }
}

/// The end of a line: its last sub-ticket, and whether that is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineEnd {
    /// The last recorded sub-ticket.
    pub ticket: SubBody,
    /// The last recorded sub-receipt.
    pub receipt: Option<SubBody>,
}

/// What the next ticket names of the line of the exchange before it.
///
/// `named` is the last sub-receipt that it names, none if zeros; `end` the record's end of that
/// line, none if nothing of it is recorded; `recorded` the recorded sub-receipt of `named`'s
/// number.
pub fn compare_end(
    named: Option<&SubBody>,
    end: Option<&LineEnd>,
    recorded: Option<&SubBody>,
) -> LineVerdict {
    let answered = end
        .and_then(|end| end.receipt)
        .map_or(0, |receipt| receipt.k);
    let asked = end.map_or(0, |end| end.ticket.k);
    let k = named.map_or(0, |named| named.k);
    if k > answered {
        return LineVerdict::Gap {
            expected: answered + 1,
        };
    }
    if named.is_some() && named != recorded {
        return LineVerdict::ForeignReceipt { k };
    }
    match k < asked {
        // A sub-ticket and a ticket, of which only one can follow.
        true => LineVerdict::ConsumerClone { k: k + 1 },
        false => LineVerdict::Known,
    }
}

/// A [`SubRun`] that grows by one sub-ticket or sub-receipt at a time.
#[derive(Debug, Clone)]
pub struct SubRunBuilder {
    run: SubRun,
    last: SubBody,
}

impl SubRunBuilder {
    /// A run of one sub-ticket.
    pub fn of(ticket: &SubEvidence) -> Self {
        Self {
            run: SubRun::of(ticket),
            last: ticket.body,
        }
    }

    /// Appends what follows the run's last; returns whether it does.
    pub fn push(&mut self, next: &SubEvidence) -> bool {
        let follows = self.run.push(&self.last, next);
        if follows {
            self.last = next.body;
        }
        follows
    }

    /// The run.
    pub fn finish(self) -> SubRun {
        self.run
    }
}

/// The bodies of exchanges in turn.
pub fn in_turn(exchanges: &[SubExchange]) -> impl Iterator<Item = SubBody> {
    let halves = exchanges
        .iter()
        .map(|one| iter::once(one.ticket).chain(one.receipt));
    halves.flatten()
}
