//! Sub-tickets and sub-receipts, by which the streams of one exchange re-key.
//!
//! The first names the exchange's ticket, each other one the message before it: one line,
//! beside which the exchange's receipt stands. The next ticket names both.

mod found;
mod message;

pub use found::{SubFork, sub_fork};
pub use message::{
    SignedSubReceipt, SignedSubTicket, SubBody, SubEvidence, SubHead, SubKind, SubReceipt,
    SubTicket,
};
