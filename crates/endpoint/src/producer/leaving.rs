//! Whether a producer leaves, and when it was called last.

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Whether a producer is leaving, and when it was called last.
pub(super) struct Leaving {
    since: Mutex<Option<Instant>>,
    pub called: Mutex<Instant>,
    /// Cancelled once nothing is waited for any more.
    pub hastened: CancellationToken,
}

impl Leaving {
    /// It stays.
    pub fn new() -> Self {
        Self {
            since: Mutex::new(None),
            called: Mutex::new(Instant::now()),
            hastened: CancellationToken::new(),
        }
    }

    /// A call was accepted.
    pub fn called(&self) {
        *self.called.lock() = Instant::now();
    }

    /// Whether it is on its way out.
    pub fn has_begun(&self) -> bool {
        self.since.lock().is_some()
    }

    /// It leaves from now on, if it does not already; since when.
    pub fn begin(&self) -> Instant {
        *self.since.lock().get_or_insert_with(Instant::now)
    }
}
