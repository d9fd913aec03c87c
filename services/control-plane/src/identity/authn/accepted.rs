//! Credentials that were accepted lately.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

/// For how long it is remembered that a credential was accepted.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Most credentials of which that is remembered.
const MAX_KEPT: usize = 100_000;

/// The SHA-256 of members' credentials that this replica accepted lately.
#[derive(Default)]
pub struct Accepted(Mutex<HashMap<[u8; 32], Instant>>);

impl Accepted {
    /// Remembers that a credential was accepted.
    pub fn add(&self, hash: [u8; 32]) {
        let mut all = self.0.lock();
        if all.len() >= MAX_KEPT && !all.contains_key(&hash) {
            // Each is known again with its next call.
            all.clear();
        }
        all.insert(hash, Instant::now());
    }

    /// Whether it was accepted lately.
    pub fn contains(&self, hash: &[u8; 32]) -> bool {
        let all = self.0.lock();
        all.get(hash)
            .is_some_and(|when| when.elapsed() < REMEMBERED)
    }
}
