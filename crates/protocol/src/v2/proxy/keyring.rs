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
pub struct Keyring<S>(Arc<Mutex<BTreeMap<u32, Epoch<S>>>>);

/// Most epochs that are kept for a direction that stands still.
const MAX_EPOCHS: usize = 1024;

impl<S> Clone for Keyring<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S> Default for Keyring<S> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<S: Side> Keyring<S> {
    /// The direction goes on in this one, behind the checkpoint that its sender has named.
    ///
    /// # Errors
    /// [`ContentError::TooLarge`] if the direction is 1,024 epochs behind: it is to be ended.
    pub fn add(&self, epoch: Epoch<S>) -> Result<(), ContentError> {
        let mut epochs = self.epochs();
        if epochs.len() >= MAX_EPOCHS {
            return Err(ContentError::TooLarge);
        }
        epochs.insert(epoch.k(), epoch);
        Ok(())
    }

    /// Where the epoch `k` ends: the first one after it begins there.
    pub(super) fn end_of(&self, k: u32) -> Option<Mark> {
        let after = (Bound::Excluded(k), Bound::Unbounded);
        let epochs = self.epochs();
        epochs.range(after).next().map(|(_, epoch)| epoch.mark)
    }

    /// What `look` makes of an epoch, if it is known.
    pub(super) fn with<T>(&self, k: u32, look: impl FnOnce(&Epoch<S>) -> T) -> Option<T> {
        self.epochs().get(&k).map(look)
    }

    /// The direction has come to this epoch: it goes back to none before.
    pub(super) fn reached(&self, k: u32) {
        let mut epochs = self.epochs();
        if epochs
            .first_key_value()
            .is_some_and(|(first, _)| *first <= k)
        {
            epochs.retain(|other, _| *other > k);
        }
    }

    fn epochs(&self) -> MutexGuard<'_, BTreeMap<u32, Epoch<S>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
