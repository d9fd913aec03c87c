//! The ledger's decision: does a reported chain of tickets agree with what is
//! recorded? Pure, so that the model checker and the server share it.

use ed25519_dalek::VerifyingKey;

use crate::{
    Error, Result, Suite,
    ticket::{NO_PREVIOUS, SignedTicket, Ticket, TicketHash},
};

/// Bytes of one entry of a chain: the share's digest and the signature.
pub const ENTRY_LEN: usize = 32 + 64;

/// A run of one lane's tickets, each the successor of the one before. What a
/// chain implies (numbers, hashes of predecessors) is not stored twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The bundle's suite.
    pub suite: Suite,
    /// The bundle.
    pub bundle: [u8; 16],
    /// The lane.
    pub lane: u32,
    /// Number of the first ticket.
    pub first: u64,
    /// `previous` of the first ticket.
    pub previous: TicketHash,
    /// Entries of [`ENTRY_LEN`] bytes each.
    pub entries: Vec<u8>,
}

/// What a report is to the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every ticket is recorded already.
    Known,
    /// Tickets from index `from` of the chain on are new and follow the head.
    Extends {
        /// Index into the chain of the first new ticket.
        from: usize,
    },
    /// The chain starts after the recorded head's successor.
    Gap {
        /// The number that the ledger expects next.
        expected: u64,
    },
    /// A recorded and a reported ticket contradict each other.
    Collision {
        /// The recorded one.
        recorded: Box<SignedTicket>,
        /// The reported one.
        reported: Box<SignedTicket>,
    },
}

impl Chain {
    /// The chain's tickets in order.
    ///
    /// # Errors
    /// [`Error::Malformed`] if there is none, an entry is cut short, or the
    /// numbers run out.
    pub fn tickets(&self) -> Result<Vec<SignedTicket>> {
        let count = self.entries.len() / ENTRY_LEN;
        if count == 0 || !self.entries.len().is_multiple_of(ENTRY_LEN) {
            return Err(Error::Malformed);
        }
        if (self.first == 0) != (self.previous == NO_PREVIOUS) {
            return Err(Error::Malformed);
        }
        self.first
            .checked_add(count as u64)
            .ok_or(Error::Malformed)?;
        let mut previous = self.previous;
        let tickets = self
            .entries
            .chunks_exact(ENTRY_LEN)
            .zip(self.first..)
            .map(|(entry, n)| {
                let ticket = Ticket {
                    suite: self.suite,
                    bundle: self.bundle,
                    lane: self.lane,
                    n,
                    previous,
                    share_digest: crate::ticket::take(entry, 0),
                };
                previous = ticket.hash();
                SignedTicket {
                    ticket,
                    signature: crate::ticket::take(entry, 32),
                }
            });
        Ok(tickets.collect())
    }

    /// The number of the chain's last ticket.
    ///
    /// # Errors
    /// [`Error::Malformed`] if there is none or the numbers run out.
    pub fn last_n(&self) -> Result<u64> {
        let count = self.entries.len() / ENTRY_LEN;
        let more = (count as u64).checked_sub(1).ok_or(Error::Malformed)?;
        self.first.checked_add(more).ok_or(Error::Malformed)
    }

    /// A chain of one ticket.
    pub fn of(signed: &SignedTicket) -> Self {
        let ticket = &signed.ticket;
        let mut chain = Self {
            suite: ticket.suite,
            bundle: ticket.bundle,
            lane: ticket.lane,
            first: ticket.n,
            previous: ticket.previous,
            entries: Vec::new(),
        };
        chain.entries.extend_from_slice(&ticket.share_digest);
        chain.entries.extend_from_slice(&signed.signature);
        chain
    }

    /// Appends a ticket if it is the successor of the chain's `last`.
    /// Returns whether it was.
    pub fn push(&mut self, last: &Ticket, signed: &SignedTicket) -> bool {
        let ticket = &signed.ticket;
        let follows = ticket.lane == self.lane
            && ticket.bundle == self.bundle
            && last.n.checked_add(1) == Some(ticket.n)
            && ticket.previous == last.hash();
        if follows {
            self.entries.extend_from_slice(&ticket.share_digest);
            self.entries.extend_from_slice(&signed.signature);
        }
        follows
    }
}

/// Checks that a chain is its consumer's. Each ticket names the hash of the one
/// before it, so the last one's signature vouches for all of them: one check for any
/// number of tickets. Whether each other ticket's own signature is good is only asked
/// when it is needed as evidence.
///
/// # Errors
/// [`Error::Signature`] if the last was not signed by `key`, [`Error::Malformed`] if
/// there is none.
pub fn vouched(tickets: &[SignedTicket], key: &VerifyingKey) -> Result<()> {
    tickets.last().ok_or(Error::Malformed)?.verify(key)
}

/// Compares a reported chain with a lane's record.
///
/// `head` is the lane's last recorded ticket; `recorded` holds every recorded
/// ticket whose number lies in the reported range, or just before it, in order.
/// The chain must be [`vouched`] for.
pub fn judge(
    head: Option<&SignedTicket>,
    recorded: &[SignedTicket],
    reported: &[SignedTicket],
) -> Verdict {
    let expected = head.map_or(0, |head| head.ticket.n.saturating_add(1));
    let of = |n: u64| {
        let place = recorded.binary_search_by_key(&n, |mine| mine.ticket.n);
        place.ok().map(|place| &recorded[place])
    };
    for theirs in reported {
        // A successor that names another predecessor than the recorded one; or the
        // same number, other content.
        let before = theirs.ticket.n.checked_sub(1).and_then(of);
        let forked = before.filter(|mine| theirs.ticket.previous != mine.ticket.hash());
        let other = || of(theirs.ticket.n).filter(|mine| mine.ticket != theirs.ticket);
        if let Some(mine) = forked.or_else(other) {
            return Verdict::Collision {
                recorded: Box::new(*mine),
                reported: Box::new(*theirs),
            };
        }
    }
    let (Some(first), Some(last)) = (reported.first(), reported.last()) else {
        return Verdict::Known;
    };
    if last.ticket.n < expected {
        Verdict::Known
    } else if first.ticket.n > expected {
        Verdict::Gap { expected }
    } else {
        // `first <= expected <= last`, and a report is far shorter than usize.
        Verdict::Extends {
            from: (expected - first.ticket.n) as usize,
        }
    }
}
