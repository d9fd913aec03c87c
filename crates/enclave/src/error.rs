//! Why calls fail.

use thiserror::Error;

/// The code of every call once a stranger was at the enclave's door.
pub(crate) const INTRUDED: &str = "intruded";

/// Why a call to the enclave failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EnclaveError {
    /// The enclave refused, with this code; nothing has changed.
    #[error("enclave: {0}")]
    Refused(String),
    /// The enclave is gone, and with it every root secret.
    #[error("the enclave is gone")]
    Gone,
}

impl EnclaveError {
    /// Whether the enclave refused with this code.
    pub fn is(&self, code: &str) -> bool {
        matches!(self, Self::Refused(refused) if refused == code)
    }

    /// Whether a stranger was at the enclave's door: all bundles are wiped, and only what
    /// tells the control plane of it is answered.
    pub fn is_intruded(&self) -> bool {
        self.is(INTRUDED)
    }
}
