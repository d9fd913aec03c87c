//! What both ends of a bundle have alike.

use std::sync::Arc;

use armour_protocol::{crypto::Signer, v2::context::Context};

use super::failed::Failed;

/// What both ends of a bundle sign and are bound with.
#[derive(Clone)]
pub(super) struct Bound {
    pub(super) context: Arc<Context>,
    /// None once the bundle is retired.
    signer: Option<Arc<Signer>>,
}

impl Bound {
    pub(super) fn new(context: Arc<Context>, signer: Arc<Signer>) -> Self {
        Self {
            context,
            signer: Some(signer),
        }
    }

    /// What signs; to be asked for before anything changes.
    ///
    /// # Errors
    /// If the bundle is retired: what is signed beyond the list of its lanes is taken for a
    /// thief's.
    pub(super) fn signer(&self) -> Result<Arc<Signer>, Failed> {
        self.signer.clone().ok_or(Failed("retired"))
    }

    /// Nothing more is signed.
    pub(super) fn retire(&mut self) {
        self.signer = None;
    }
}
