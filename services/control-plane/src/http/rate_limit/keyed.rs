//! How often each of many may do something, in this replica's memory.

use std::{hash::Hash, time::Duration};

use governor::{DefaultKeyedRateLimiter, Quota};
use parking_lot::Mutex;
use tokio::time::Instant;

/// Most keys that are kept, and how often those that have been silent are forgotten, if there are
/// more.
const MAX_KEPT: usize = 100_000;
const FORGET_EVERY: Duration = Duration::from_secs(1);

/// A limit for each key.
pub struct KeyedLimit<K: Hash + Eq + Clone> {
    limiter: DefaultKeyedRateLimiter<K>,
    forgotten: Mutex<Instant>,
}

impl<K: Hash + Eq + Clone> KeyedLimit<K> {
    /// So many for each.
    pub fn new(quota: Quota) -> Self {
        Self {
            limiter: DefaultKeyedRateLimiter::keyed(quota),
            forgotten: Mutex::new(Instant::now()),
        }
    }

    /// Counts one more. Whether it may be.
    pub fn is_within(&self, key: &K) -> bool {
        if self.limiter.len() > MAX_KEPT {
            let mut forgotten = self.forgotten.lock();
            if forgotten.elapsed() >= FORGET_EVERY {
                *forgotten = Instant::now();
                self.limiter.retain_recent();
            }
        }
        self.limiter.check_key(key).is_ok()
    }
}
