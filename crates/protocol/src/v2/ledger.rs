//! The ledger's decision: do two runs of a lane's tickets and receipts agree? Bodies are
//! compared, never signatures. Pure, so that the model and the server share it.

use super::{
    body::{Body, BodyHash, Header, Kind},
    context::Context,
    error::HeadError,
    message::Evidence,
    proof::Proof,
};

/// A run of one lane's exchanges without holes: 32 bytes for each ticket and each receipt,
/// in turn, and the last proof of either kind. Each proof vouches for all that its body
/// names, which is the run up to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The lane.
    pub lane: u16,
    /// Number of the first exchange.
    pub first: u64,
    /// What the first ticket names.
    pub previous: BodyHash,
    /// What is left of each body: its rest's hash.
    pub rests: Vec<[u8; 32]>,
    /// Of the last ticket.
    pub ticket: Proof,
    /// Of the last receipt, if there is one.
    pub receipt: Option<Proof>,
}

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
            rests: vec![body.rest],
            ticket: ticket.proof.clone(),
            receipt: None,
        }
    }

    /// Appends the body that follows the run's last; returns whether it does.
    pub fn push(&mut self, context: &Context, next: &Evidence) -> bool {
        let Ok(bodies) = self.bodies(context) else {
            return false;
        };
        let header = &next.body.header;
        let follows = match bodies.last() {
            None => false,
            Some(last) => {
                let n = match last.header.kind {
                    Kind::Ticket => Some(last.header.n),
                    _ => last.header.n.checked_add(1),
                };
                header.belongs(context, self.lane).is_ok()
                    && n == Some(header.n)
                    && header.kind != last.header.kind
                    && next.body.previous == names(last)
            }
        };
        if follows {
            self.rests.push(next.body.rest);
            match header.kind {
                Kind::Receipt => self.receipt = Some(next.proof.clone()),
                _ => self.ticket = next.proof.clone(),
            }
        }
        follows
    }

    /// The run's exchanges, once its two proofs have been checked.
    ///
    /// # Errors
    /// [`HeadError::Malformed`] or [`HeadError::Signature`]: it is nobody's word.
    pub fn verified(&self, context: &Context) -> Result<Vec<Exchange>, HeadError> {
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
        let mut previous = self.previous;
        let numbers = (self.first..).flat_map(|n| [(n, Kind::Ticket), (n, Kind::Receipt)]);
        let bodies = self.rests.iter().zip(numbers).map(|(rest, (n, kind))| {
            let header = Header {
                suite: context.suite(),
                kind,
                bundle: context.binding().bundle,
                lane: self.lane,
                n,
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
}

/// Compares a run with a lane's record.
///
/// `recorded` holds, in order and without holes, every recorded exchange from the one
/// before the run's first on, as far as there is one; or, for a run that is further
/// ahead, the last. Both must be [`Run::verified`]: what a verified run names was vouched
/// for by either end up to its last receipt.
pub fn compare(recorded: &[Exchange], reported: &[Exchange]) -> Verdict {
    let (Some(first), Some(last)) = (reported.first(), reported.last()) else {
        return Verdict::Known;
    };
    let of = |n: u64| recorded.iter().find(|mine| mine.ticket.header.n == n);
    for theirs in reported {
        let n = theirs.ticket.header.n;
        let before = n.checked_sub(1).and_then(of).and_then(|mine| mine.receipt);
        if before.is_some_and(|receipt| names(&receipt) != theirs.ticket.previous) {
            return dispute(n - 1, recorded, reported);
        }
        let Some(mine) = of(n) else { continue };
        if mine.ticket != theirs.ticket {
            return match mine.ticket.previous == theirs.ticket.previous {
                true => Verdict::ConsumerClone { n },
                false => dispute(n.saturating_sub(1), recorded, reported),
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

/// What the body after this one names.
fn names(body: &Body) -> BodyHash {
    match body.header.kind {
        Kind::Receipt => BodyHash::after(body),
        _ => body.hash(),
    }
}

fn prove(body: &Body, proof: &Proof, context: &Context) -> Result<(), HeadError> {
    let evidence = Evidence {
        body: *body,
        proof: proof.clone(),
    };
    evidence.verify(context)
}
