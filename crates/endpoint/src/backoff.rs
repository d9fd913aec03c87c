//! Waiting between attempts.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(3);

/// Waits that double from 50 ms to 3 s; each is drawn at random from its upper half, so
/// that many agents do not come back at the same moment.
#[derive(Debug)]
pub struct Backoff(ExponentialBackoff);

impl Default for Backoff {
    fn default() -> Self {
        Self::up_to(LONGEST)
    }
}

impl Backoff {
    /// One that never waits longer than this.
    pub fn up_to(longest: Duration) -> Self {
        Self(waits(longest).build())
    }

    /// Waits, and longer the next time.
    pub async fn wait(&mut self) {
        if let Some(wait) = self.0.next() {
            tokio::time::sleep(wait).await;
        }
    }
}

/// The same waits, for what is merely tried again.
pub fn retries() -> ExponentialBuilder {
    waits(LONGEST)
}

fn waits(longest: Duration) -> ExponentialBuilder {
    // Up to as much again is added to each.
    ExponentialBuilder::new()
        .with_min_delay(FIRST / 2)
        .with_max_delay(longest / 2)
        .with_factor(2.0)
        .with_jitter()
        .without_max_times()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_are_never_below_half() {
        let expected = [50, 100, 200, 400, 800, 1600, 3000, 3000, 3000];
        for _ in 0..100 {
            for (wait, whole) in retries().build().zip(expected) {
                let whole = Duration::from_millis(whole);
                assert!(whole / 2 <= wait && wait <= whole, "{wait:?} of {whole:?}");
            }
        }
        assert_eq!(retries().build().take(1000).count(), 1000);
    }
}
