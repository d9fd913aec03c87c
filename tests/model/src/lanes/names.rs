//! Small numbers for lanes and messages, and what is said of them.

/// A lane's state, or that of all of a producer's lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane(pub(super) u32);

/// A ticket and what it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Request(pub(super) u32);

/// A receipt and what it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Response(pub(super) u32);

/// What is reported and recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Item {
    /// A ticket.
    Ticket(Request),
    /// A receipt.
    Receipt(Response),
}

/// What a request is to a producer's lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// The next.
    Next,
    /// The one accepted last.
    Repeat,
    /// Another one in its place.
    Conflict,
    /// It names another receipt, or is further ahead or behind: the ledger has to judge.
    Elsewhere,
    /// Not the consumer's.
    Refused,
}
