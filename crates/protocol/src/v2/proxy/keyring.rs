//! The epochs that a direction goes on in, as its receiver knows them.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::v2::{checkpoint::Mark, error::ContentError, message::Side};

use super::epoch::Epoch;

/// The epochs of a direction that its [`StreamReader`](super::StreamReader) has not reached
/// yet; clones are of the same ones.
pub struct Keyring<S>(Arc<Mutex<Ahead<S>>>);

struct Ahead<S> {
    epochs: BTreeMap<u32, Epoch<S>>,
    /// The direction has ended.
    closed: bool,
}

/// Most epochs that are kept for a direction that stands still.
const MAX_EPOCHS: usize = 1024;

impl<S> Clone for Keyring<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S> Default for Keyring<S> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Ahead {
            epochs: BTreeMap::new(),
            closed: false,
        })))
    }
}

impl<S: Side> Keyring<S> {
    /// The direction goes on in this one, behind the checkpoint that its sender has named. Once
    /// it has ended nothing is kept.
    ///
    /// # Errors
    /// [`ContentError::TooLarge`] if the direction is 1,024 epochs behind: it is to be ended.
    pub fn add(&self, epoch: Epoch<S>) -> Result<(), ContentError> {
        let mut ahead = self.ahead();
        if ahead.closed {
            return Ok(());
        }
        if ahead.epochs.len() >= MAX_EPOCHS {
            return Err(ContentError::TooLarge);
        }
        ahead.epochs.insert(epoch.k(), epoch);
        Ok(())
    }

    /// Whether there is no room for another.
    pub fn is_full(&self) -> bool {
        self.ahead().epochs.len() >= MAX_EPOCHS
    }

    /// Whether this one's keys are here.
    pub fn has(&self, k: u32) -> bool {
        self.ahead().epochs.contains_key(&k)
    }

    /// The direction has ended: its keys are of no use.
    pub fn close(&self) {
        let mut ahead = self.ahead();
        ahead.closed = true;
        ahead.epochs.clear();
    }

    /// What `look` makes of an epoch, if it is known.
    pub fn with<T>(&self, k: u32, look: impl FnOnce(&Epoch<S>) -> T) -> Option<T> {
        self.ahead().epochs.get(&k).map(look)
    }

    /// Where the epoch `k` ends: the first one after it begins there.
    pub(super) fn end_of(&self, k: u32) -> Option<Mark> {
        let after = (Bound::Excluded(k), Bound::Unbounded);
        let ahead = self.ahead();
        ahead
            .epochs
            .range(after)
            .next()
            .map(|(_, epoch)| epoch.mark)
    }

    /// The direction has come to this epoch: it goes back to none before.
    pub(super) fn reached(&self, k: u32) {
        self.ahead().epochs.retain(|other, _| *other > k);
    }

    fn ahead(&self) -> MutexGuard<'_, Ahead<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
