//! Tenants that have new events and are not announced yet.

use std::collections::BTreeSet;

use parking_lot::Mutex;
use tokio::sync::Notify;
use uuid::Uuid;

/// Tenants of which this process has committed events that are not announced yet.
#[derive(Default)]
pub(crate) struct News {
    pub tenants: Mutex<BTreeSet<Uuid>>,
    pub some: Notify,
}

impl News {
    /// These tenants have new events.
    pub(crate) fn add(&self, tenants: impl IntoIterator<Item = Uuid>) {
        self.tenants.lock().extend(tenants);
        self.some.notify_one();
    }
}
