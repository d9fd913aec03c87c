//! Whether the control plane has assigned anew.

use std::{
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use armour_ambient::Random;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Agents that are nudged at the same moment ask within this time, in milliseconds, unless they are
/// told of another.
const WITHIN_MS: u16 = 500;
/// No nudge waits longer.
const LONGEST_MS: u16 = 30_000;

/// What is known of the assignments.
#[derive(Default)]
pub struct Assigned {
    pub seen: Mutex<Option<u64>>,
    pub due: Notify,
    /// Within which time to ask, in milliseconds; 0 if nobody has said.
    within_ms: AtomicU16,
}

impl Assigned {
    /// Their number now, by a heartbeat's answer.
    pub fn is_now(&self, number: u64) {
        if *self.seen.lock() != Some(number) {
            self.due.notify_one();
        }
    }

    /// They have changed.
    pub fn changed(&self) {
        self.due.notify_one();
    }

    /// They have changed, and all who are told are to ask spread over so many milliseconds.
    pub fn changed_within(&self, ms: Option<u64>) {
        let ms = ms.map_or(WITHIN_MS, |ms| u16::try_from(ms).unwrap_or(LONGEST_MS));
        let ms = ms.clamp(WITHIN_MS, LONGEST_MS);
        self.within_ms.fetch_max(ms, Ordering::Relaxed);
        self.changed();
    }

    /// How long to wait before asking: at random, within what was told.
    pub fn pause(&self, random: &Random) -> Duration {
        let within = self.within_ms.swap(0, Ordering::Relaxed).max(WITHIN_MS);
        let drawn = u16::from_be_bytes(random.bytes()) % within;
        Duration::from_millis(drawn.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With thousands of consumers, half a second is a flood.
    #[test]
    fn who_is_nudged_asks_within_the_time_that_was_told() {
        let (assigned, random) = (Assigned::default(), Random::seeded(1));
        let longest = |told: Option<u64>| {
            let drawn = (0..200).map(|_| {
                if told.is_some() {
                    assigned.changed_within(told);
                }
                assigned.pause(&random)
            });
            drawn.max().unwrap_or_default().as_millis()
        };
        assert!((400..500).contains(&longest(None)));
        assert!((9_000..10_000).contains(&longest(Some(10_000))));
        assert!((400..500).contains(&longest(Some(0))));
        assert!((27_000..30_000).contains(&longest(Some(u64::MAX))));
        // What was told once holds once.
        assert!((400..500).contains(&longest(None)));
    }
}
