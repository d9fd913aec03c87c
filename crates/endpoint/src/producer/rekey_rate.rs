//! How often a stream's sub-tickets are answered: no more often than the policy has its consumer
//! ask, with room for what is on its way.

use tokio::time::Instant;

use crate::rekey_times::RekeyTimes;

/// How many may come at once.
const AT_ONCE: f64 = 8.0;
/// Bytes that a consumer may have sent and its producer not read yet.
const ON_THEIR_WAY: f64 = 16.0 * 1024.0 * 1024.0;
/// As much faster than the policy's may clocks and counts be.
const SLACK: f64 = 1.25;

/// What is left to a stream's consumer.
#[derive(Debug, Clone, Copy)]
pub struct RekeyRate {
    left: f64,
    since: Instant,
    /// Bytes that had gone in both directions then.
    bytes: u64,
}

impl RekeyRate {
    /// A stream's that begins now.
    pub fn new(times: RekeyTimes) -> Self {
        Self {
            left: most(times),
            since: Instant::now(),
            bytes: 0,
        }
    }

    /// Whether one more may be answered, when so many bytes have gone in both directions. It is
    /// counted if it may.
    pub fn take(&mut self, times: RekeyTimes, bytes: u64) -> bool {
        let now = Instant::now();
        let gone = bytes.saturating_sub(self.bytes) as f64 / times.bytes as f64;
        let passed = (now - self.since).as_secs_f64() / times.interval.as_secs_f64();
        let left = self.left + SLACK * (gone + passed);
        (self.left, self.since, self.bytes) = (left.min(most(times)), now, bytes);
        let may = self.left >= 1.0;
        if may {
            self.left -= 1.0;
        }
        may
    }
}

fn most(times: RekeyTimes) -> f64 {
    AT_ONCE + ON_THEIR_WAY / times.bytes as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TIMES: RekeyTimes = RekeyTimes {
        interval: Duration::from_secs(30),
        bytes: 64 << 20,
    };

    #[tokio::test(start_paused = true)]
    async fn a_consumer_that_keeps_to_its_policy_is_always_answered() {
        let mut rate = RekeyRate::new(TIMES);
        for _ in 0..1_000 {
            tokio::time::advance(TIMES.interval).await;
            assert!(rate.take(TIMES, 0));
        }
        for round in 1..1_000 {
            assert!(rate.take(TIMES, round * TIMES.bytes));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_asks_all_the_time_is_not() {
        let mut rate = RekeyRate::new(TIMES);
        let answered = (0..1_000).filter(|_| rate.take(TIMES, 0)).count();
        assert!(answered <= 9, "{answered}");
        // Nor does it save anything up.
        tokio::time::advance(TIMES.interval * 1_000).await;
        let answered = (0..1_000).filter(|_| rate.take(TIMES, 0)).count();
        assert!(answered <= 9, "{answered}");
    }
}
