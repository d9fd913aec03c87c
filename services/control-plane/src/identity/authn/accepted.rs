//! Credentials that were accepted lately.

use std::time::Duration;

use hashlink::LruCache;
use parking_lot::Mutex;
use tokio::time::Instant;

/// For how long it is remembered that a credential was accepted.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Most credentials of which that is remembered: the one that was accepted least lately goes.
const MAX_KEPT: usize = 100_000;

/// The SHA-256 of members' credentials that this replica accepted lately.
pub struct Accepted(Mutex<LruCache<[u8; 32], Instant>>);

impl Default for Accepted {
    fn default() -> Self {
        Self::of(MAX_KEPT)
    }
}

impl Accepted {
    fn of(kept: usize) -> Self {
        Self(Mutex::new(LruCache::new(kept)))
    }

    /// Remembers that a credential was accepted.
    pub fn add(&self, hash: [u8; 32]) {
        self.0.lock().insert(hash, Instant::now());
    }

    /// Whether it was accepted lately.
    pub fn contains(&self, hash: &[u8; 32]) -> bool {
        let all = self.0.lock();
        all.peek(hash)
            .is_some_and(|when| when.elapsed() < REMEMBERED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_more_than_are_kept_takes_the_place_of_one_and_not_of_all() {
        let accepted = Accepted::of(3);
        for one in 0..3 {
            accepted.add([one; 32]);
        }
        accepted.add([0; 32]);
        accepted.add([3; 32]);
        let known: Vec<bool> = (0..4).map(|one| accepted.contains(&[one; 32])).collect();
        assert_eq!(known, [true, false, true, true]);
    }
}
