//! One time for all replicas: the database's. Their machines' clocks may differ.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use chrono::{DateTime, Duration, Utc};

/// The database's time, from this machine's clock and its offset.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    /// In microseconds, to be added to this machine's clock.
    offset: Arc<AtomicI64>,
}

impl Clock {
    /// The time.
    pub fn now(&self) -> DateTime<Utc> {
        machine_time() + self.offset()
    }

    /// How far the database is ahead of this machine.
    pub fn offset(&self) -> Duration {
        Duration::microseconds(self.offset.load(Ordering::Relaxed))
    }

    /// Takes over the time that the database answered: it is taken to be that of the
    /// middle between question and answer.
    pub(crate) fn set(&self, asked: DateTime<Utc>, answer: DateTime<Utc>, answered: DateTime<Utc>) {
        let offset = answer - (asked + (answered - asked) / 2);
        let offset = offset.num_microseconds().unwrap_or_default();
        self.offset.store(offset, Ordering::Relaxed);
    }
}

/// This machine's time: nothing else in this crate asks for it.
pub(crate) fn machine_time() -> DateTime<Utc> {
    Utc::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_ahead_is_set_back() {
        let clock = Clock::default();
        let here = machine_time();
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
