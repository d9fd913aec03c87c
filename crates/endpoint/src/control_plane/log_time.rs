//! How late it is by the audit log, whose heads are dated. This machine's own clock is not
//! asked: it may be wrong, and whoever sets it back would make old heads young.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

/// How much more slowly than by the monotonic clock time is carried on: a 2,000th, which is the
/// most that NTP slews a clock by (500 ppm). Otherwise a clock that is a little fast would leave
/// the log's behind for good.
const SLACK: u32 = 2_000;

/// The time by the log: at least what its heads have shown, carried on by the monotonic clock.
#[derive(Debug, Default)]
pub struct LogTime(Option<(DateTime<Utc>, Instant)>);

impl LogTime {
    /// A head of this time was seen now. The first one is taken for young.
    pub fn saw(&mut self, at: DateTime<Utc>) {
        if self.now().is_none_or(|now| at > now) {
            self.0 = Some((at, Instant::now()));
        }
    }

    /// Whether a head of this time is no older than that.
    pub fn is_within(&self, at: DateTime<Utc>, age: Duration) -> bool {
        let age = TimeDelta::from_std(age).unwrap_or(TimeDelta::MAX);
        // One that came after all others is of now.
        self.now().is_none_or(|now| now - at <= age)
    }

    /// Begins anew: the log is on another database, whose clock may be behind.
    pub fn begin_anew(&mut self) {
        self.0 = None;
    }

    fn now(&self) -> Option<DateTime<Utc>> {
        let (at, seen) = self.0?;
        let elapsed = seen.elapsed();
        at.checked_add_signed(TimeDelta::from_std(elapsed - elapsed / SLACK).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(60);

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_is_old_once_the_lease_has_passed_since_a_later_one() {
        let mut time = LogTime::default();
        time.saw(at(1_000));
        assert!(time.is_within(at(940), LEASE));
        assert!(!time.is_within(at(939), LEASE));
        tokio::time::advance(Duration::from_secs(61)).await;
        assert!(!time.is_within(at(1_000), LEASE));
        assert!(time.is_within(at(1_001), LEASE));
    }

    #[tokio::test(start_paused = true)]
    async fn heads_that_lag_ever_more_are_not_taken() {
        let mut time = LogTime::default();
        time.saw(at(0));
        // Each is within the lease of the one before, and none counts as now.
        for step in 1..=12 {
            tokio::time::advance(Duration::from_secs(10)).await;
            let head = at(5 * step);
            assert_eq!(time.is_within(head, LEASE), step <= 12);
            time.saw(head);
        }
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(!time.is_within(at(65), LEASE));
    }

    #[tokio::test(start_paused = true)]
    async fn a_monotonic_clock_that_is_a_little_fast_leaves_no_head_behind() {
        let mut time = LogTime::default();
        time.saw(at(0));
        // 200 ppm, for a hundred days.
        for hour in 1..=2_400 {
            tokio::time::advance(Duration::from_micros(3_600_720_000)).await;
            let head = at(3_600 * hour);
            assert!(time.is_within(head, Duration::from_secs(10)), "{hour}");
            time.saw(head);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn another_databases_clock_may_be_behind() {
        let mut time = LogTime::default();
        time.saw(at(1_000));
        time.begin_anew();
        assert!(time.is_within(at(0), LEASE));
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_took_less_time_to_come_makes_it_later() {
        let mut time = LogTime::default();
        time.saw(at(100));
        time.saw(at(150));
        assert!(!time.is_within(at(80), LEASE));
    }
}
