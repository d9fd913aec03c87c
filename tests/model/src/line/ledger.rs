//! The ledger: what is recorded of the line, and what a report does. What a report means is the
//! protocol crate's decision.

use armour_protocol::v2::ledger::LineVerdict;

use super::real::{Kind, Lines, Message};

/// An end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Side {
    /// The consumer.
    Consumer,
    /// The producer.
    Producer,
}

/// Everything in the database.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Ledger {
    /// Sub-tickets and sub-receipts, in turn.
    pub line: Vec<Message>,
    /// The lane's next ticket.
    pub next: Option<Message>,
    /// The number of the sub-receipt that the consumer is asked to show.
    pub asked: Option<u32>,
    /// Whose identity ends, by the first finding.
    pub finding: Option<Side>,
}

/// What a reporter is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Recorded, or known; or it was found out by it.
    Taken,
    /// Something before it is missing.
    Gap,
}

impl Ledger {
    /// Somebody signed in an end's name.
    pub fn find(&mut self, side: Side) {
        self.finding.get_or_insert(side);
    }

    /// The last recorded sub-ticket, or sub-receipt.
    pub fn head(&self, lines: &Lines, side: Side) -> Option<Message> {
        let of = |one: &&Message| {
            let kind = lines.of(**one).1;
            (side == Side::Consumer) == (kind == Kind::Ticket)
        };
        self.line.iter().rev().find(of).copied()
    }

    /// Takes a part of the line, or the lane's next ticket.
    pub fn report(&mut self, lines: &Lines, messages: &[Message]) -> Answer {
        let verdict = match messages {
            [next] if lines.of(*next).1 == Kind::Next => lines.end_of(&self.line, *next),
            _ => lines.verdict(&self.line, self.next.is_some(), messages),
        };
        match verdict {
            Some(LineVerdict::Gap { .. }) => return Answer::Gap,
            Some(LineVerdict::ConsumerClone { .. }) => self.find(Side::Consumer),
            Some(LineVerdict::ProducerClone { .. }) => self.find(Side::Producer),
            Some(LineVerdict::ForeignReceipt { k }) => self.asked = Some(k),
            Some(LineVerdict::Extends { from }) => {
                // A sub-ticket and a sub-receipt for each; what is recorded may end with the
                // sub-ticket of the first that is new.
                let known = usize::from(self.line.len() % 2 == 1);
                self.line.extend(messages.iter().skip(2 * from + known));
            }
            Some(LineVerdict::Known) => {
                let next = messages
                    .first()
                    .filter(|one| lines.of(**one).1 == Kind::Next);
                self.next = self.next.or(next.copied());
            }
            None => {}
        }
        Answer::Taken
    }

    /// The consumer shows the sub-receipt that it was asked for, or cannot.
    pub fn show(&mut self, lines: &Lines, k: u32, shown: Option<Message>) {
        self.asked = None;
        let recorded = self
            .line
            .iter()
            .rev()
            .find(|one| lines.k(**one) == k && matches!(lines.of(**one).1, Kind::Receipt(_)));
        let proven = recorded
            .zip(shown)
            .is_some_and(|(ours, theirs)| lines.contradicts(*ours, theirs));
        self.find(match proven {
            true => Side::Producer,
            false => Side::Consumer,
        });
    }

    /// Whether what is recorded is one part of a line.
    pub fn is_sound(&self, lines: &Lines) -> bool {
        self.line.is_empty() || lines.run_len(&self.line) == self.line.len()
    }
}
