//! What a receipt that nobody awaits is to a lane.

use crate::v2::{
    enclave::core::Core,
    error::HeadError,
    message::{Evidence, SignedReceipt},
};

/// What a receipt that arrives late is to a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceiptStanding {
    /// The one that was taken, again.
    Repeat,
    /// Another one for the same ticket, signed as well: the producer's state was copied.
    /// The two are the proof.
    Clone {
        /// The one that was taken.
        taken: Box<Evidence>,
        /// The other one.
        other: Box<Evidence>,
    },
    /// Of another exchange; the ledger compares it.
    Elsewhere,
}

/// What a receipt is beside the one that was taken last.
pub(super) fn judge(
    core: &Core,
    taken: Option<&Evidence>,
    receipt: &SignedReceipt,
) -> Result<ReceiptStanding, HeadError> {
    let header = receipt.message.header();
    header.belongs(&core.context, core.lane)?;
    receipt.verify(&core.context)?;
    let other = receipt.evidence();
    Ok(match taken {
        Some(taken) if other.body == taken.body => ReceiptStanding::Repeat,
        Some(taken) if other.body.previous == taken.body.previous => ReceiptStanding::Clone {
            taken: Box::new(taken.clone()),
            other: Box::new(other),
        },
        _ => ReceiptStanding::Elsewhere,
    })
}
