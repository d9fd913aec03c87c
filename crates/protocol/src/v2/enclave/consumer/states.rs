//! What a lane can be at the consumer's end.

use crate::{
    agreement::PeerShare,
    v2::{
        body::{Body, BodyHash},
        checkpoint::CheckpointSigner,
        enclave::core::{Core, LaneMark},
        message::Evidence,
        rekey::SubEvidence,
        time::ProducerClock,
    },
};

use super::{asking::Asking, in_flight::InFlight};

/// A lane that has not been opened. It can do nothing but open.
pub struct Fresh {
    pub(super) core: Core,
}

/// An open lane that may begin its next exchange. It holds no private ephemeral: a stolen
/// one reads nothing.
pub struct Idle {
    pub(super) core: Core,
    pub(super) next: u64,
    pub(super) ticket: Body,
    pub(super) peer: PeerShare,
    pub(super) clock: ProducerClock,
    pub(super) receipt: Evidence,
    /// Of the exchange's last sub-ticket.
    pub(super) asked: Option<LaneMark>,
    /// The exchange's last sub-receipt.
    pub(super) sub_receipt: Option<BodyHash>,
    /// The same, which may have to be shown.
    pub(super) sub_evidence: Option<SubEvidence>,
    /// While its streams go on.
    pub(super) asking: Option<Box<Asking>>,
}

/// A lane whose ticket 0 is under way. Nothing can be sealed on it before its receipt,
/// which holds the peer's log head.
pub struct Opening(pub(super) InFlight);

/// A lane whose call is under way.
pub struct Waiting {
    pub(super) in_flight: InFlight,
    /// If the request is a stream.
    pub(super) stream: Option<CheckpointSigner>,
}

/// A lane whose ticket without content is under way.
pub struct Refreshing(pub(super) InFlight);

/// A lane whose last ticket is under way; its receipt ends the lane at both ends.
pub struct Closing(pub(super) InFlight);
