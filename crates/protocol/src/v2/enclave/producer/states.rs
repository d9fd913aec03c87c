//! What a lane can be at the producer's end.

use crate::{
    agreement::ShareSecret,
    v2::{body::Body, enclave::core::Core, message::Evidence},
};

use super::{owed::Owed, told::Told};

/// A lane that has not been opened.
pub(super) struct Fresh {
    pub(super) core: Core,
}

/// An open lane that may accept its next ticket.
pub struct Ready {
    pub(super) core: Core,
    pub(super) next: u64,
    pub(super) ticket: Evidence,
    pub(super) receipt: Body,
    /// Of our latest share.
    pub(super) secret: ShareSecret,
    /// Until the next ticket, of an exchange with a stream.
    pub(super) told: Option<Box<Told>>,
}

/// A lane whose ticket 0 was accepted.
pub struct Opened(pub(super) Owed);

/// A lane whose ticket carried no content.
pub struct Bare(pub(super) Owed);

/// A lane whose call was accepted.
pub struct Answering(pub(super) Owed);
