//! When streams are re-keyed, and how long that may take.

use std::time::Duration;

use armour_api::Policy;

/// A re-keying may take as long as this at least, however short its interval.
const AT_LEAST: Duration = Duration::from_secs(10);
/// And no longer, however long that is: meanwhile the request stands still, which it may not for
/// as long as [`REQUEST_IDLE`](crate::wire::idle::REQUEST_IDLE).
const AT_MOST: Duration = Duration::from_secs(60);

/// A pair's times.
#[derive(Debug, Clone, Copy)]
pub struct RekeyTimes {
    /// Streams are re-keyed this long after the last time.
    pub interval: Duration,
    /// And once so many bytes have gone in a direction.
    pub bytes: u64,
}

impl RekeyTimes {
    /// As the policy says; none if its streams are not re-keyed.
    pub fn of(policy: &Policy) -> Option<Self> {
        (policy.rekey_interval_ms > 0).then(|| Self {
            interval: Duration::from_millis(policy.rekey_interval_ms.into()),
            bytes: u64::from(policy.rekey_bytes).max(1),
        })
    }

    /// How long a re-keying may take: after that its stream seals nothing more.
    pub fn limit(self) -> Duration {
        (self.interval * 2).clamp(AT_LEAST, AT_MOST)
    }

    /// How long after the last re-keying, or the stream's beginning, the producer awaits the next
    /// one: its consumer begins one in time, and gives the stream up if it takes too long.
    pub fn patience(self) -> Duration {
        self.interval + self.limit() * 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::idle::REQUEST_IDLE;

    /// The producer would end the stream first, as one whose caller is gone.
    #[test]
    fn a_rekeying_takes_no_longer_than_a_request_may_stand_still() {
        for seconds in [1, 30, 46, 3_600] {
            let policy = Policy {
                rekey_interval_ms: seconds * 1_000,
                ..Policy::default()
            };
            let times = RekeyTimes::of(&policy).unwrap();
            assert!(times.limit() < REQUEST_IDLE, "{seconds}");
            assert!(times.limit() >= AT_LEAST, "{seconds}");
            assert_eq!(times.patience(), times.interval + times.limit() * 2);
        }
    }
}
