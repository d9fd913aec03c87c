//! The ledger's decision: does a reported chain of tickets agree with what is
//! recorded? Pure, so that the model checker and the server share it.

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

/// Compares a reported chain with a lane's record.
///
/// `head` is the lane's last recorded ticket; `recorded` holds every recorded
/// ticket whose number lies in the reported range, or just before it, in order.
/// Signatures must have been checked.
pub fn judge(
    head: Option<&SignedTicket>,
    recorded: &[SignedTicket],
    reported: &[SignedTicket],
) -> Verdict {
    let expected = head.map_or(0, |head| head.ticket.n.saturating_add(1));
    for mine in recorded {
        for theirs in reported {
            // The same number, other content; or a successor that names another
            // predecessor than the recorded one.
            let same = mine.ticket.n == theirs.ticket.n && mine.ticket != theirs.ticket;
            let forked = theirs.ticket.n.checked_sub(1) == Some(mine.ticket.n)
                && theirs.ticket.previous != mine.ticket.hash();
            if same || forked {
                return Verdict::Collision {
                    recorded: Box::new(*mine),
                    reported: Box::new(*theirs),
                };
            }
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
