//! What is to be said to the control plane, and what came of it.

use armour_api::LinkOutcome;
use armour_protocol::v2::identity::body::LinkBody;
use thiserror::Error;
use tokio::{sync::oneshot, time::Instant};

use crate::control_plane::ended::Ended;

/// What came of a link.
#[derive(Debug)]
pub struct Answered {
    /// As the control plane says.
    pub outcome: LinkOutcome,
    /// When the link was sent first: the control plane knew of nothing that it says before.
    pub sent: Instant,
}

/// Why nothing came of a link.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LinkError {
    /// The chain has ended.
    #[error(transparent)]
    Ended(#[from] Ended),
    /// It was not signed.
    #[error("the enclave signs no such link: {0}")]
    Unsigned(String),
    /// The control plane says something else than what was asked.
    #[error("the control plane does not say what came of the link")]
    Untold,
    /// The control plane does not take what the link says.
    #[error("the control plane refuses it: {0}")]
    Refused(String),
}

/// What the next link is to be.
pub(super) enum Said {
    Body(Box<LinkBody>),
    Renewal,
}

/// What is to be said, and who waits for the answer.
pub(super) struct Waiting {
    pub said: Said,
    pub answer: oneshot::Sender<Result<Answered, LinkError>>,
}
