//! The keys that a direction goes on under, until its sender switches to them.

use std::{collections::BTreeMap, sync::Arc};

use armour_protocol::v2::{message::Side, proxy::Epoch};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The epochs that a direction may switch to; clones are of the same one.
pub struct Keyring<S>(Arc<Shared<S>>);

struct Shared<S> {
    held: Mutex<Held<S>>,
    added: Notify,
}

struct Held<S> {
    /// None once the direction has ended.
    epochs: Option<BTreeMap<u32, Epoch<S>>>,
    /// Up to this one keys may come.
    expected: u32,
}

/// So many epochs may wait for their switch: an honest sender does not leave a direction behind
/// for as long.
const MAX_EPOCHS: usize = 1_024;

impl<S> Clone for Keyring<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: Side> Default for Keyring<S> {
    fn default() -> Self {
        Self(Arc::new(Shared {
            held: Mutex::new(Held {
                epochs: Some(BTreeMap::new()),
                expected: 0,
            }),
            added: Notify::new(),
        }))
    }
}

impl<S: Side> Keyring<S> {
    /// The keys of this epoch may come: a switch to it waits for them.
    pub fn expect(&self, k: u32) {
        self.0.held.lock().expected = k;
    }

    /// Whether there is no room for another.
    pub fn is_full(&self) -> bool {
        let held = self.0.held.lock();
        held.epochs.as_ref().map_or(0, BTreeMap::len) >= MAX_EPOCHS
    }

    /// The direction may switch to this one from here on.
    pub fn add(&self, epoch: Epoch<S>) {
        if let Some(epochs) = &mut self.0.held.lock().epochs {
            epochs.insert(epoch.k(), epoch);
        }
        self.0.added.notify_waiters();
    }

    /// The epoch that the direction has switched to, once its keys are here; none if they are
    /// not to come. It switches to none before that any more.
    pub async fn take(&self, k: u32) -> Option<Epoch<S>> {
        loop {
            let added = self.0.added.notified();
            {
                let mut held = self.0.held.lock();
                let expected = held.expected;
                let epochs = held.epochs.as_mut()?;
                if let Some(epoch) = epochs.remove(&k) {
                    *epochs = epochs.split_off(&k);
                    return Some(epoch);
                }
                if k > expected {
                    return None;
                }
            }
            added.await;
        }
    }

    /// The direction has ended: its keys are of no use.
    pub fn close(&self) {
        self.0.held.lock().epochs = None;
        self.0.added.notify_waiters();
    }
}
