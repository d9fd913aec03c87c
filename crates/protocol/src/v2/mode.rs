//! What an exchange carries, and why one was refused or broke off.

use super::{body::Direction, error::HeadError};

/// What a ticket or receipt says of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Mode {
    /// None. A receipt of this mode answers a ticket without content, and only that.
    Empty = 1,
    /// One sealed segment, all of it.
    Whole = 2,
    /// A first segment, and more that checkpoints vouch for.
    Stream = 3,
    /// Receipt: the call was never begun, and never will be.
    Refused = 4,
    /// Receipt: the call was begun; how far it ran is unknown.
    Aborted = 5,
    /// Ticket without content, the last of its lane.
    Last = 6,
}

/// Why a call was refused or aborted; not zero. Others than those named here may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reason(u8);

impl Mode {
    pub(crate) fn from_u8(number: u8) -> Result<Self, HeadError> {
        match number {
            1 => Ok(Self::Empty),
            2 => Ok(Self::Whole),
            3 => Ok(Self::Stream),
            4 => Ok(Self::Refused),
            5 => Ok(Self::Aborted),
            6 => Ok(Self::Last),
            _ => Err(HeadError::Malformed),
        }
    }

    /// Whether sealed segments follow the head.
    pub fn has_content(self) -> bool {
        matches!(self, Self::Whole | Self::Stream)
    }

    /// Whether a message in this direction may have this mode.
    pub(crate) fn goes(self, direction: Direction) -> bool {
        match self {
            Self::Empty | Self::Whole | Self::Stream => true,
            Self::Refused | Self::Aborted => direction == Direction::Response,
            Self::Last => direction == Direction::Request,
        }
    }

    /// Whether a receipt of this mode may answer a ticket of that one.
    pub(crate) fn answers(self, ticket: Self) -> bool {
        (self == Self::Empty) != ticket.has_content()
    }

    /// Whether a reason comes with it.
    pub(crate) fn has_reason(self) -> bool {
        matches!(self, Self::Refused | Self::Aborted)
    }
}

impl Reason {
    /// The ticket's time was over.
    pub const LATE: Self = Self(1);
    /// The producer's policy forbids the call.
    pub const POLICY: Self = Self(2);
    /// The request or its response is too large.
    pub const TOO_LARGE: Self = Self(3);
    /// The API was out of reach, or broke off.
    pub const API: Self = Self(4);
    /// The API took too long.
    pub const TIMEOUT: Self = Self(5);
    /// The caller hung up.
    pub const CALLER: Self = Self(6);
    /// The producer is stopping.
    pub const STOPPING: Self = Self(7);
    /// The producer has as much to do as it can.
    pub const BUSY: Self = Self(8);
    /// The ledger or the control plane could not be asked.
    pub const LEDGER: Self = Self(9);
    /// The content could not be taken.
    pub const CONTENT: Self = Self(10);
    /// The streams were not re-keyed in their time.
    pub const REKEY: Self = Self(11);
    /// The control plane has been out of reach for longer than a stream's lease.
    pub const LEASE: Self = Self(12);

    /// The reason with this number; none for 0.
    pub fn from_u8(number: u8) -> Option<Self> {
        (number != 0).then_some(Self(number))
    }

    /// Its number.
    pub fn as_u8(self) -> u8 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_answers_only_what_has_no_content() {
        for answer in [Mode::Whole, Mode::Stream, Mode::Refused, Mode::Aborted] {
            for ticket in [Mode::Whole, Mode::Stream] {
                assert!(answer.answers(ticket));
            }
            for ticket in [Mode::Empty, Mode::Last] {
                assert!(!answer.answers(ticket));
            }
        }
        assert!(Mode::Empty.answers(Mode::Empty) && Mode::Empty.answers(Mode::Last));
        assert!(!Mode::Empty.answers(Mode::Whole));
    }
}
