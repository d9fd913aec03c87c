//! What a start waits for, for whoever asks meanwhile.

use std::{fmt::Display, sync::Arc};

use parking_lot::Mutex;

/// What a start waits for; cheap to clone, and all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Mutex<String>>);

impl Progress {
    /// It waits for this from now on.
    pub fn waits_for(&self, what: impl Display) {
        *self.0.lock() = what.to_string();
    }

    /// What it waits for; nothing if it has not begun.
    pub fn told(&self) -> String {
        self.0.lock().clone()
    }
}
