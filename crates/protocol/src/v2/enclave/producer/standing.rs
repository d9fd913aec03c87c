//! What a ticket is to a lane.

use thiserror::Error;

use crate::v2::{
    body::Body,
    enclave::core::Core,
    error::HeadError,
    message::{Evidence, SignedTicket},
};

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

/// Why a ticket was not accepted. The lane is as it was.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotAccepted {
    /// It is not the consumer's, and proves nothing.
    #[error(transparent)]
    Invalid(#[from] HeadError),
    /// The consumer's incarnation signed it, but it is not the next.
    #[error("not the ticket that this lane awaits")]
    Stands(Standing),
}

impl Standing {
    pub(super) fn next(self) -> Result<(), NotAccepted> {
        match self {
            Self::Next => Ok(()),
            other => Err(NotAccepted::Stands(other)),
        }
    }
}

/// The body of a ticket, if it is of this lane and the consumer's incarnation signed it.
pub(super) fn verified(core: &Core, ticket: &SignedTicket) -> Result<Body, HeadError> {
    ticket.message.header().belongs(&core.context, core.lane)?;
    ticket.verified(&core.context)
}

/// What a verified ticket is beside the one accepted last.
pub(super) fn against(accepted: &Evidence, body: &Body, expected: u64) -> Standing {
    match body.header.n == accepted.body.header.n {
        true if *body == accepted.body => Standing::Repeat,
        true => Standing::Conflict {
            accepted: Box::new(accepted.clone()),
        },
        false => Standing::Elsewhere { expected },
    }
}
