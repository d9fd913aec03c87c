//! One time for all replicas: the database's. Their machines' clocks may differ.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use chrono::{DateTime, Duration, Utc};

/// The database's time, from this machine's clock and what it is off.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    /// In microseconds, to be added to this machine's clock.
    offset: Arc<AtomicI64>,
}

impl Clock {
    /// The time.
    pub fn now(&self) -> DateTime<Utc> {
        Utc::now() + self.offset()
    }

    /// How far the database is ahead of this machine.
    pub fn offset(&self) -> Duration {
        Duration::microseconds(self.offset.load(Ordering::Relaxed))
    }

    /// Takes the time that the database told in answer to a question.
    pub(crate) fn set(&self, asked: DateTime<Utc>, told: DateTime<Utc>, heard: DateTime<Utc>) {
        let offset = told - (asked + (heard - asked) / 2);
        let offset = offset.num_microseconds().unwrap_or_default();
        self.offset.store(offset, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_ahead_is_set_back() {
        let clock = Clock::default();
        let here = Utc::now();
        let there = here - Duration::minutes(10);
        clock.set(
            here,
            there + Duration::seconds(1),
            here + Duration::seconds(2),
        );
        assert_eq!(clock.offset(), Duration::minutes(-10));
        assert!((clock.now() - there).num_seconds().abs() < 5);
    }
}
