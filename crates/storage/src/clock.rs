//! One time for all replicas: the database's. Their machines' clocks may differ.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use armour_ambient::Clock;
use chrono::{DateTime, Duration, Utc};

/// The database's time, from this machine's clock and its offset.
#[derive(Debug, Clone)]
pub(crate) struct DatabaseClock {
    machine: Clock,
    /// In microseconds, to be added to this machine's clock.
    offset: Arc<AtomicI64>,
}

impl DatabaseClock {
    /// Until it is set, the machine's time.
    pub(crate) fn new(machine: Clock) -> Self {
        Self {
            machine,
            offset: Arc::default(),
        }
    }

    /// The time.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.machine.now() + self.offset()
    }

    /// How far the database is ahead of this machine.
    pub(crate) fn offset(&self) -> Duration {
        Duration::microseconds(self.offset.load(Ordering::Relaxed))
    }

    /// This machine's time.
    pub(crate) fn machine_time(&self) -> DateTime<Utc> {
        self.machine.now()
    }

    /// Takes over the time that the database answered: it is taken to be that of the
    /// middle between question and answer.
    pub(crate) fn set(&self, asked: DateTime<Utc>, answer: DateTime<Utc>, answered: DateTime<Utc>) {
        let offset = answer - (asked + (answered - asked) / 2);
        let offset = offset.num_microseconds().unwrap_or_default();
        self.offset.store(offset, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_ahead_is_set_back() {
        let here = DateTime::UNIX_EPOCH + Duration::days(1);
        let clock = DatabaseClock::new(Clock::fixed(here));
        let there = here - Duration::minutes(10);
        clock.set(
            here,
            there + Duration::seconds(1),
            here + Duration::seconds(2),
        );
        assert_eq!(clock.offset(), Duration::minutes(-10));
        assert_eq!(clock.now(), there);
    }
}
