//! A call's hold on an idempotency key.

use uuid::Uuid;

/// A call's hold on a key. Whoever commits the call's change shows it, and it is known from
/// then on that the change was made.
#[derive(Debug, Clone)]
pub struct IdempotencyClaim {
    pub(crate) tenant: Uuid,
    pub(crate) key: String,
    pub(crate) id: Uuid,
}

impl IdempotencyClaim {
    /// Whose key it is.
    pub fn tenant(&self) -> Uuid {
        self.tenant
    }
}
