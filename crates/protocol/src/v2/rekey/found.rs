//! What two sub-tickets or sub-receipts show of their signers. Bodies are compared, never
//! signatures.

use super::message::{SubBody, SubKind};

/// Whose state was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubFork {
    /// The consumer signed two sub-tickets in one place.
    Consumer {
        /// The exchange.
        n: u64,
        /// The sub-ticket's number.
        k: u32,
    },
    /// The producer signed two sub-receipts for one sub-ticket.
    Producer {
        /// The exchange.
        n: u64,
        /// The sub-receipt's number.
        k: u32,
    },
}

/// Compares two bodies, each of which its end was shown to have signed: do they show that an
/// end's state was copied? Two sub-receipts that answer different sub-tickets do not: those
/// do.
pub fn sub_fork(one: &SubBody, other: &SubBody) -> Option<SubFork> {
    let place = |body: &SubBody| (body.bundle, body.lane, body.n, body.k, body.kind);
    if place(one) != place(other) || one == other {
        return None;
    }
    let (n, k) = (one.n, one.k);
    match one.kind {
        SubKind::Ticket => Some(SubFork::Consumer { n, k }),
        SubKind::Receipt => (one.previous == other.previous).then_some(SubFork::Producer { n, k }),
    }
}
