//! The keys that a direction goes on under, until its sender switches to them.

use std::{collections::BTreeMap, sync::Arc};

use armour_protocol::v2::{message::Side, proxy::Epoch};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The epochs that a direction may switch to; clones are of the same one.
pub struct Keyring<S>(Arc<Shared<S>>);

struct Shared<S> {
    /// None once the direction has ended.
    epochs: Mutex<Option<BTreeMap<u32, Epoch<S>>>>,
    added: Notify,
}

impl<S> Clone for Keyring<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: Side> Default for Keyring<S> {
    fn default() -> Self {
        Self(Arc::new(Shared {
            epochs: Mutex::new(Some(BTreeMap::new())),
            added: Notify::new(),
        }))
    }
}

impl<S: Side> Keyring<S> {
    /// The direction may switch to this one from here on.
    pub fn add(&self, epoch: Epoch<S>) {
        if let Some(epochs) = &mut *self.0.epochs.lock() {
            epochs.insert(epoch.k(), epoch);
        }
        self.0.added.notify_waiters();
    }

    /// The epoch that the direction has switched to, once its keys are here. It switches to
    /// none before that any more.
    pub async fn take(&self, k: u32) -> Epoch<S> {
        loop {
            let added = self.0.added.notified();
            if let Some(epochs) = &mut *self.0.epochs.lock()
                && let Some(epoch) = epochs.remove(&k)
            {
                *epochs = epochs.split_off(&k);
                return epoch;
            }
            added.await;
        }
    }

    /// The direction has ended: its keys are of no use.
    pub fn close(&self) {
        *self.0.epochs.lock() = None;
    }
}
