//! The producer's end of a lane.
//!
//! [`Fresh`] -ticket 0-> [`Opened`] -receipt-> [`Ready`]. [`Ready`] -ticket-> [`Accepted`]:
//! [`Answering`] a call, or [`Bare`] without content; each gives exactly one receipt and
//! leads back to [`Ready`].

mod answering;
mod lanes;
mod owed;
mod ready;

pub use answering::{Answering, Bare, BareAfter, Concluded, Opened};
pub use lanes::{Lanes, OpeningError};
pub use ready::{Accepted, Fresh, Ready};

use crate::v2::message::Evidence;

/// What a ticket that the consumer's incarnation signed is to a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The next one: it can be accepted.
    Next,
    /// The one accepted last, again: answer it with the same bytes as before.
    Repeat,
    /// Another one in the place of the one accepted last: the consumer's state was copied.
    Conflict {
        /// The one that was accepted.
        accepted: Box<Evidence>,
    },
    /// The next number, but it names a receipt that is not this lane's: either the
    /// producer's state was copied and the consumer can show that receipt, or the finding
    /// is the consumer's. The ledger decides.
    ForeignReceipt,
    /// Older or further ahead than this lane can judge; the ledger compares it.
    Elsewhere {
        /// The exchange that this lane awaits.
        expected: u64,
    },
}
