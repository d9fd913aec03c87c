//! What the ledger says of a bundle that is of no more use.

use uuid::Uuid;

/// A bundle that is of no more use, by a verdict of the ledger's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dead {
    /// The bundle.
    pub bundle: Uuid,
    /// Whether the control plane has disconnected it. Else it takes reports still, but lacks
    /// some that are not kept here any more.
    pub disconnected: bool,
}
