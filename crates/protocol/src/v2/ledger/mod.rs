//! The ledger's decision: do two runs of a lane's tickets and receipts agree, or of a line of
//! sub-tickets and sub-receipts? Bodies are compared, never signatures. Pure, so that the model
//! and the server share it.

mod line;

pub use line::{
    LineEnd, LineVerdict, SubExchange, SubPosition, SubRun, SubRunBuilder, compare_end,
    compare_line, in_turn, sub_bodies,
};

use super::{
    body::{Body, BodyHash, Header, Kind},
    context::Context,
    error::HeadError,
    fields::Reader,
    message::Evidence,
    proof::Proof,
    rekey::{SubBody, SubEvidence, SubKind},
};
use crate::crypto::Sign;

/// A place in a lane's chain: 2n is ticket n's, 2n + 1 receipt n's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// Of ticket n; `None` if there is no such place.
    pub fn of_ticket(n: u64) -> Option<Self> {
        n.checked_mul(2).map(Self)
    }

    /// The exchange.
    pub fn n(self) -> u64 {
        self.0 / 2
    }

    /// What stands there.
    pub fn kind(self) -> Kind {
        match self.0 % 2 {
            0 => Kind::Ticket,
            _ => Kind::Receipt,
        }
    }
}

/// The bodies of a part of a lane's chain that begins at a position, from their rests. Each
/// but the first names the one before.
///
/// # Errors
/// [`HeadError::Malformed`] if there are no such positions.
pub fn bodies(
    context: &Context,
    lane: u16,
    first: Position,
    previous: BodyHash,
    rests: &[[u8; 32]],
) -> Result<Vec<Body>, HeadError> {
    // At least one place after the last has to be there.
    let end = first.0.checked_add(rests.len() as u64);
    end.ok_or(HeadError::Malformed)?;
    let mut previous = previous;
    let places = (first.0..).map(Position);
    let bodies = rests.iter().zip(places).map(|(rest, place)| {
        let header = Header {
            suite: context.suite(),
            kind: place.kind(),
            bundle: context.binding().bundle,
            lane,
            n: place.n(),
        };
        let body = Body {
            header,
            previous,
            rest: *rest,
        };
        previous = names(&body);
        body
    });
    Ok(bodies.collect())
}

/// A run of one lane's exchanges without holes: 32 bytes for each ticket and each receipt,
/// in turn, and the last proof of either kind. Each proof vouches for all that its body
/// names, which is the run up to it. A run does not go on over an exchange whose streams were
/// re-keyed: what the ticket after it names does not follow from the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The lane.
    pub lane: u16,
    /// Number of the first exchange.
    pub first: u64,
    /// What the first ticket names.
    pub previous: BodyHash,
    /// The same, taken apart. Without it a ticket after streams that re-keyed only shows that
    /// it does not name the receipt before it alone.
    pub before: Option<Before>,
    /// What is left of each body: its rest's hash.
    pub rests: Vec<[u8; 32]>,
    /// Of the last ticket.
    pub ticket: Proof,
    /// Of the last receipt, if there is one.
    pub receipt: Option<Proof>,
}

/// What a ticket names: the receipt before it, and the last sub-receipt of its exchange. Where
/// the two stand follows from the ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Before {
    /// The receipt.
    pub receipt: Half,
    /// Number of the last sub-receipt, and the sub-receipt, if the streams of that exchange
    /// re-keyed.
    pub line: Option<(u32, Half)>,
}

/// What is left of a body whose place is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Half {
    /// Of the body before it.
    pub previous: BodyHash,
    /// Hash of the rest of the head.
    pub rest: [u8; 32],
}

impl Before {
    /// What the ticket after this receipt names, if this is its exchange's last sub-receipt.
    pub fn of(receipt: &Body, last: Option<&SubBody>) -> Self {
        let half = |previous, rest| Half { previous, rest };
        Self {
            receipt: half(receipt.previous, receipt.rest),
            line: last.map(|last| (last.k, half(last.previous, last.rest))),
        }
    }

    /// The receipt and the last sub-receipt that a lane's ticket `next` names.
    ///
    /// # Errors
    /// [`HeadError::Malformed`] if no such ticket names such.
    pub fn bodies(
        &self,
        context: &Context,
        lane: u16,
        next: u64,
    ) -> Result<(Body, Option<SubBody>), HeadError> {
        let n = next.checked_sub(1).ok_or(HeadError::Malformed)?;
        let header = Header {
            suite: context.suite(),
            kind: Kind::Receipt,
            bundle: context.binding().bundle,
            lane,
            n,
        };
        let receipt = Body {
            header,
            previous: self.receipt.previous,
            rest: self.receipt.rest,
        };
        let last = self.line.map(|(k, half)| SubBody {
            suite: header.suite,
            kind: SubKind::Receipt,
            bundle: header.bundle,
            lane,
            n,
            k,
            previous: half.previous,
            rest: half.rest,
        });
        match last.is_some_and(|last| n == 0 || last.k == 0) {
            true => Err(HeadError::Malformed),
            false => Ok((receipt, last)),
        }
    }

    /// The bytes: the receipt's previous and rest and, of the sub-receipt, k(4), previous and
    /// rest.
    pub fn to_bytes(&self) -> Vec<u8> {
        let half = |half: &Half| [half.previous.0, half.rest].concat();
        let mut out = half(&self.receipt);
        if let Some((k, last)) = &self.line {
            out.extend_from_slice(&k.to_be_bytes());
            out.extend_from_slice(&half(last));
        }
        out
    }

    /// Reads what [`Before::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`HeadError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HeadError> {
        let mut reader = Reader::new(bytes);
        let receipt = Half::read(&mut reader)?;
        let line = match bytes.len() > HALF_LEN {
            true => Some((reader.u32()?, Half::read(&mut reader)?)),
            false => None,
        };
        reader.end()?;
        Ok(Self { receipt, line })
    }
}

impl Half {
    fn read(reader: &mut Reader<'_>) -> Result<Self, HeadError> {
        Ok(Self {
            previous: BodyHash(reader.array()?),
            rest: reader.array()?,
        })
    }
}

/// Bytes of a half.
const HALF_LEN: usize = 32 + 32;

/// Most rests of a run that is read from bytes.
const MAX_RESTS: usize = 1 << 20;

/// One exchange of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exchange {
    /// The consumer's half.
    pub ticket: Body,
    /// The producer's, unless that is the run's end.
    pub receipt: Option<Body>,
}

/// What a reported run is to the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All of it is recorded.
    Known,
    /// What follows the record begins at this index of the run.
    Extends {
        /// The first exchange of which something is new.
        from: usize,
    },
    /// It starts after the record's end.
    Gap {
        /// The exchange that the ledger needs first.
        expected: u64,
    },
    /// The consumer signed two tickets in one place: its state was copied.
    ConsumerClone {
        /// The exchange.
        n: u64,
    },
    /// The producer signed two receipts for one ticket: its state was copied.
    ProducerClone {
        /// The exchange.
        n: u64,
    },
    /// Two receipts for one ticket are named, and the producer's word for one of them is
    /// missing. The consumer that named it can show the receipt: then the producer was
    /// copied; else the finding is the consumer's.
    ForeignReceipt {
        /// The exchange.
        n: u64,
    },
}

impl Run {
    /// A run of one ticket.
    pub fn of(ticket: &Evidence) -> Self {
        let body = &ticket.body;
        Self {
            lane: body.header.lane,
            first: body.header.n,
            previous: body.previous,
            before: None,
            rests: vec![body.rest],
            ticket: ticket.proof.clone(),
            receipt: None,
        }
    }

    /// A run as a lane's two ends sign it, from the rests of its tickets and receipts in turn;
    /// `None` if there is no such run. For benchmarks: it takes both ends' keys.
    pub fn signed(
        context: &Context,
        lane: u16,
        first: u64,
        previous: BodyHash,
        rests: Vec<[u8; 32]>,
        keys: (&impl Sign, &impl Sign),
    ) -> Option<Self> {
        let place = Position::of_ticket(first)?;
        let all = bodies(context, lane, place, previous, &rests).ok()?;
        let last = |kind: Kind| all.iter().rev().find(|body| body.header.kind == kind);
        let ticket = Evidence::sign(last(Kind::Ticket)?, context, keys.0).proof;
        let receipt = last(Kind::Receipt).map(|body| Evidence::sign(body, context, keys.1).proof);
        Some(Self {
            lane,
            first,
            previous,
            before: None,
            rests,
            ticket,
            receipt,
        })
    }

    /// The last ticket and the last receipt, with their proofs; `None` if there is no receipt.
    pub fn heads(&self, context: &Context) -> Option<(Evidence, Evidence)> {
        let all = self.bodies(context).ok()?;
        let last = |kind: Kind| all.iter().rev().find(|body| body.header.kind == kind);
        let evidence = |body: &Body, proof: &Proof| Evidence {
            body: *body,
            proof: proof.clone(),
        };
        Some((
            evidence(last(Kind::Ticket)?, &self.ticket),
            evidence(last(Kind::Receipt)?, self.receipt.as_ref()?),
        ))
    }

    /// What the ticket after the run's last receipt names; `None` if it ends with a ticket.
    pub fn next(&self, context: &Context) -> Option<BodyHash> {
        self.next_after(context, None)
    }

    /// The same, if the streams of the last exchange re-keyed and this is their last
    /// sub-receipt.
    pub fn next_after(&self, context: &Context, line: Option<&SubBody>) -> Option<BodyHash> {
        let all = self.bodies(context).ok()?;
        let last = all.last()?;
        let line = line.map(SubBody::hash);
        (last.header.kind == Kind::Receipt).then(|| BodyHash::after_rekeyed(last, line))
    }

    /// The part of the run from exchange `n` on, which its proofs vouch for as they do for all
    /// of it; `None` if it does not hold that exchange.
    pub fn from_exchange(&self, context: &Context, n: u64) -> Option<Self> {
        let skip = usize::try_from(n.checked_sub(self.first)?.checked_mul(2)?).ok()?;
        let bodies = self.bodies(context).ok()?;
        let first = bodies.get(skip)?;
        let left = &bodies[skip..];
        let has_receipt = left.iter().any(|body| body.header.kind == Kind::Receipt);
        Some(Self {
            lane: self.lane,
            first: n,
            previous: first.previous,
            before: self.before.filter(|_| skip == 0),
            rests: left.iter().map(|body| body.rest).collect(),
            ticket: self.ticket.clone(),
            receipt: self.receipt.clone().filter(|_| has_receipt),
        })
    }

    /// The bytes: lane, first exchange's number, previous, count(4), the rests, length(2) and
    /// proof of the last ticket, length(2) and proof of the last receipt, 0 if there is none;
    /// then what the first ticket names, if it is taken apart.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.lane.to_be_bytes().to_vec();
        out.extend_from_slice(&self.first.to_be_bytes());
        out.extend_from_slice(&self.previous.0);
        out.extend_from_slice(&(self.rests.len() as u32).to_be_bytes());
        self.rests
            .iter()
            .for_each(|rest| out.extend_from_slice(rest));
        write_proof(&mut out, Some(&self.ticket));
        write_proof(&mut out, self.receipt.as_ref());
        if let Some(before) = &self.before {
            out.extend_from_slice(&before.to_bytes());
        }
        out
    }

    /// Reads what [`Run::to_bytes`] wrote; nothing is verified.
    ///
    /// # Errors
    /// [`HeadError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HeadError> {
        let mut reader = Reader::new(bytes);
        let (lane, first, previous) = (reader.u16()?, reader.u64()?, BodyHash(reader.array()?));
        let count = reader.u32()? as usize;
        if count > MAX_RESTS {
            return Err(HeadError::Malformed);
        }
        let rests = (0..count).map(|_| reader.array());
        let rests = rests.collect::<Result<_, _>>()?;
        let ticket = read_proof(&mut reader)?.ok_or(HeadError::Malformed)?;
        let receipt = read_proof(&mut reader)?;
        let before = match reader.rest() {
            [] => None,
            bytes => Some(Before::from_bytes(bytes)?),
        };
        Ok(Self {
            lane,
            first,
            previous,
            before,
            rests,
            ticket,
            receipt,
        })
    }

    /// The run's exchanges, once its two proofs have been checked.
    ///
    /// # Errors
    /// [`HeadError::Malformed`] or [`HeadError::Signature`]: it is nobody's word.
    pub fn verified(&self, context: &Context) -> Result<Vec<Exchange>, HeadError> {
        if let Some(before) = &self.before {
            let (receipt, last) = before.bodies(context, self.lane, self.first)?;
            let named = BodyHash::after_rekeyed(&receipt, last.map(|last| last.hash()));
            if named != self.previous {
                return Err(HeadError::Malformed);
            }
        }
        let bodies = self.bodies(context)?;
        let last = |kind| bodies.iter().rev().find(|body| body.header.kind == kind);
        let ticket = last(Kind::Ticket).ok_or(HeadError::Malformed)?;
        prove(ticket, &self.ticket, context)?;
        match (last(Kind::Receipt), &self.receipt) {
            (None, None) => {}
            (Some(receipt), Some(proof)) => prove(receipt, proof, context)?,
            _ => return Err(HeadError::Malformed),
        }
        let pairs = bodies.chunks(2);
        Ok(pairs
            .filter_map(|pair| {
                Some(Exchange {
                    ticket: *pair.first()?,
                    receipt: pair.get(1).copied(),
                })
            })
            .collect())
    }

    /// The bodies, each of which names the one before.
    fn bodies(&self, context: &Context) -> Result<Vec<Body>, HeadError> {
        let opening = BodyHash::opening(context, self.lane);
        if self.rests.is_empty() || (self.first == 0) != (self.previous == opening) {
            return Err(HeadError::Malformed);
        }
        let exchanges = self.rests.len().div_ceil(2) as u64;
        self.first
            .checked_add(exchanges)
            .ok_or(HeadError::Malformed)?;
        let first = Position::of_ticket(self.first).ok_or(HeadError::Malformed)?;
        bodies(context, self.lane, first, self.previous, &self.rests)
    }
}

/// What shows that an end signed one body of a lane's chain: the body with a proof of its own,
/// or a run whose proof vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Testimony {
    /// A proof of its own.
    Alone(Evidence),
    /// A later proof.
    Within(Run),
    /// A sub-ticket or sub-receipt with a proof of its own.
    SubAlone(SubEvidence),
    /// One with a later proof.
    SubWithin(SubRun),
}

impl Testimony {
    /// The ticket or receipt `n` of a lane, if this shows that its sender signed it.
    ///
    /// # Errors
    /// [`HeadError::Malformed`] or [`HeadError::Signature`]: it shows nothing of the kind.
    pub fn body(
        &self,
        context: &Context,
        lane: u16,
        kind: Kind,
        n: u64,
    ) -> Result<Body, HeadError> {
        let found = match self {
            Self::Alone(evidence) => {
                evidence.verify(context)?;
                Some(evidence.body)
            }
            Self::Within(run) => {
                let exchanges = run.verified(context)?;
                let of = exchanges.iter().find(|one| one.ticket.header.n == n);
                of.and_then(|one| match kind {
                    Kind::Ticket => Some(one.ticket),
                    _ => one.receipt,
                })
            }
            Self::SubAlone(_) | Self::SubWithin(_) => None,
        };
        let place = |body: &Body| (body.header.lane, body.header.kind, body.header.n);
        found
            .filter(|body| place(body) == (lane, kind, n))
            .ok_or(HeadError::Malformed)
    }

    /// The sub-ticket or sub-receipt (n, k) of a lane, if this shows that its sender signed it.
    ///
    /// # Errors
    /// [`HeadError::Malformed`] or [`HeadError::Signature`]: it shows nothing of the kind.
    pub fn sub_body(
        &self,
        context: &Context,
        lane: u16,
        kind: SubKind,
        (n, k): (u64, u32),
    ) -> Result<SubBody, HeadError> {
        let found = match self {
            Self::SubAlone(evidence) => {
                evidence.verify(context)?;
                Some(evidence.body)
            }
            Self::SubWithin(run) => {
                let exchanges = run.verified(context)?;
                in_turn(&exchanges).find(|body| (body.kind, body.k) == (kind, k))
            }
            Self::Alone(_) | Self::Within(_) => None,
        };
        let place = |body: &SubBody| (body.lane, body.kind, body.n, body.k);
        found
            .filter(|body| place(body) == (lane, kind, n, k))
            .ok_or(HeadError::Malformed)
    }

    /// The bytes: 1 and body and proof, or 2 and the run; or 3 and 4 of a line.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Alone(evidence) => [&[1], &evidence.to_bytes()[..]].concat(),
            Self::Within(run) => [&[2], &run.to_bytes()[..]].concat(),
            Self::SubAlone(evidence) => [&[3], &evidence.to_bytes()[..]].concat(),
            Self::SubWithin(run) => [&[4], &run.to_bytes()[..]].concat(),
        }
    }

    /// Reads what [`Testimony::to_bytes`] wrote; nothing is verified.
    ///
    /// # Errors
    /// [`HeadError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HeadError> {
        match bytes.split_first() {
            Some((1, evidence)) => Evidence::from_bytes(evidence).map(Self::Alone),
            Some((2, run)) => Run::from_bytes(run).map(Self::Within),
            Some((3, evidence)) => SubEvidence::from_bytes(evidence).map(Self::SubAlone),
            Some((4, run)) => SubRun::from_bytes(run).map(Self::SubWithin),
            _ => Err(HeadError::Malformed),
        }
    }
}

/// Compares a run with a lane's record.
///
/// `recorded` holds, in order and without holes, every recorded exchange from the one
/// before the run's first on, as far as there is one; or, for a run that is further
/// ahead, the last. `before` is the receipt that the run's first ticket names, if the run takes
/// apart what that names. Both must be [`Run::verified`]: what a verified run names was vouched
/// for by either end up to its last receipt. What a ticket names of the line before it is
/// [`compare_end`]'s.
pub fn compare(recorded: &[Exchange], before: Option<&Body>, reported: &[Exchange]) -> Verdict {
    let (Some(first), Some(last)) = (reported.first(), reported.last()) else {
        return Verdict::Known;
    };
    // The record has no holes.
    let start = recorded.first().map_or(0, |mine| mine.ticket.header.n);
    let of = |n: u64| {
        let place = usize::try_from(n.checked_sub(start)?).ok()?;
        let mine = recorded.get(place)?;
        (mine.ticket.header.n == n).then_some(mine)
    };
    for theirs in reported {
        let n = theirs.ticket.header.n;
        let named = before.filter(|_| n == first.ticket.header.n);
        let receipt = n.checked_sub(1).and_then(of).and_then(|mine| mine.receipt);
        let follows = receipt.map(|receipt| match named {
            Some(named) => *named == receipt,
            None => names(&receipt) == theirs.ticket.previous,
        });
        let mine = of(n);
        let differs = mine.filter(|mine| mine.ticket != theirs.ticket);
        if differs.is_some_and(|mine| mine.ticket.previous == theirs.ticket.previous) {
            return Verdict::ConsumerClone { n };
        }
        if follows == Some(false) && (mine.is_none() || differs.is_some()) {
            // Without being taken apart, what it names may be this receipt and a line.
            return match n == first.ticket.header.n && named.is_none() {
                true => Verdict::ForeignReceipt { n: n - 1 },
                false => dispute(n - 1, recorded, reported),
            };
        }
        let Some(mine) = mine else { continue };
        if differs.is_some() {
            // After one receipt the two may still name more or less of its line.
            return match follows {
                Some(_) => Verdict::ConsumerClone { n },
                None => dispute(n.saturating_sub(1), recorded, reported),
            };
        }
        if let (Some(a), Some(b)) = (mine.receipt, theirs.receipt)
            && a != b
        {
            return dispute(n, recorded, reported);
        }
    }
    let known = |theirs: &Exchange| {
        of(theirs.ticket.header.n)
            .is_some_and(|mine| mine.receipt.is_some() || theirs.receipt.is_none())
    };
    // What is needed next: the last exchange again while its receipt is missing.
    let expected = recorded.last().map_or(0, |mine| {
        let n = mine.ticket.header.n;
        if mine.receipt.is_some() {
            n.saturating_add(1)
        } else {
            n
        }
    });
    match reported.iter().position(|theirs| !known(theirs)) {
        None => Verdict::Known,
        Some(_) if first.ticket.header.n > expected => Verdict::Gap { expected },
        Some(from) if last.ticket.header.n >= expected => Verdict::Extends { from },
        // Older than what was handed in as the record: nothing to compare it with.
        Some(_) => Verdict::Known,
    }
}

/// Two receipts n: whose finding is it?
fn dispute(n: u64, recorded: &[Exchange], reported: &[Exchange]) -> Verdict {
    let vouched = |run: &[Exchange]| {
        let mut receipts = run.iter().rev().filter(|one| one.receipt.is_some());
        receipts.next().is_some_and(|one| one.ticket.header.n >= n)
    };
    match vouched(recorded) && vouched(reported) {
        true => Verdict::ProducerClone { n },
        false => Verdict::ForeignReceipt { n },
    }
}

/// What the body after this one names, if no line stands between the two.
pub(super) fn names(body: &Body) -> BodyHash {
    match body.header.kind {
        Kind::Receipt => BodyHash::after(body),
        _ => body.hash(),
    }
}

fn write_proof(out: &mut Vec<u8>, proof: Option<&Proof>) {
    let bytes = proof.map(Proof::to_bytes).unwrap_or_default();
    // A proof has less than 300 bytes.
    out.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    out.extend_from_slice(&bytes);
}

fn read_proof(reader: &mut Reader<'_>) -> Result<Option<Proof>, HeadError> {
    match reader.u16()? {
        0 => Ok(None),
        length => Proof::from_bytes(reader.bytes(length.into())?).map(Some),
    }
}

fn prove(body: &Body, proof: &Proof, context: &Context) -> Result<(), HeadError> {
    let evidence = Evidence {
        body: *body,
        proof: proof.clone(),
    };
    evidence.verify(context)
}
