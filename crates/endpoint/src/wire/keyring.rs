//! The epochs that a direction goes on in, and whether the keys of one are still to come.

use std::sync::Arc;

use armour_protocol::v2::{error::ContentError, message::Side, proxy};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The epochs that a direction goes on in; clones are of the same ones.
pub struct Keyring<S> {
    epochs: proxy::Keyring<S>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    awaited: Mutex<Awaited>,
    added: Notify,
}

#[derive(Default)]
struct Awaited {
    /// Up to this one keys may come.
    expected: u32,
    /// The direction has ended: none come.
    closed: bool,
}

impl<S> Clone for Keyring<S> {
    fn clone(&self) -> Self {
        Self {
            epochs: self.epochs.clone(),
            shared: self.shared.clone(),
        }
    }
}

impl<S> Default for Keyring<S> {
    fn default() -> Self {
        Self {
            epochs: proxy::Keyring::default(),
            shared: Arc::default(),
        }
    }
}

impl<S: Side> Keyring<S> {
    /// What the direction's reader follows.
    pub fn epochs(&self) -> proxy::Keyring<S> {
        self.epochs.clone()
    }

    /// The keys of this epoch may come: a switch to it waits for them.
    pub fn expect(&self, k: u32) {
        self.shared.awaited.lock().expected = k;
    }

    /// Whether there is no room for another.
    pub fn is_full(&self) -> bool {
        self.epochs.is_full()
    }

    /// The direction goes on in this one.
    ///
    /// # Errors
    /// [`ContentError::TooLarge`] if it is too far behind, and is to be ended.
    pub fn add(&self, epoch: proxy::Epoch<S>) -> Result<(), ContentError> {
        self.epochs.add(epoch)?;
        self.shared.added.notify_waiters();
        Ok(())
    }

    /// Waits for the keys of the epoch that the direction seems to have switched to. False if
    /// they are not to come: nobody has signed the switch.
    pub async fn comes(&self, k: u32) -> bool {
        loop {
            let added = self.shared.added.notified();
            if self.epochs.has(k) {
                return true;
            }
            {
                let awaited = self.shared.awaited.lock();
                if awaited.closed || k > awaited.expected {
                    return false;
                }
            }
            added.await;
        }
    }

    /// The direction has ended: its keys are of no use.
    pub fn close(&self) {
        self.shared.awaited.lock().closed = true;
        self.epochs.close();
        self.shared.added.notify_waiters();
    }
}
