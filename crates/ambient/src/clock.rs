//! The time of day.

use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use parking_lot::Mutex;

/// A clock; clones show the same time.
#[derive(Debug, Clone, Default)]
pub struct Clock(Source);

#[derive(Debug, Clone, Default)]
enum Source {
    #[default]
    System,
    Fixed(Arc<Mutex<DateTime<Utc>>>),
}

impl Clock {
    /// This machine's.
    pub fn system() -> Self {
        Self::default()
    }

    /// One that stands at a time until it is moved. For tests only.
    pub fn fixed(at: DateTime<Utc>) -> Self {
        Self(Source::Fixed(Arc::new(Mutex::new(at))))
    }

    /// The time.
    #[expect(clippy::disallowed_methods, reason = "everybody else asks here")]
    pub fn now(&self) -> DateTime<Utc> {
        match &self.0 {
            Source::System => Utc::now(),
            Source::Fixed(at) => *at.lock(),
        }
    }

    /// Moves a fixed clock on, or back by a negative duration; this machine's stays as
    /// it is.
    pub fn advance(&self, by: Duration) {
        if let Source::Fixed(at) = &self.0 {
            *at.lock() += by;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_clock_stands_until_it_is_moved() {
        let clock = Clock::fixed(DateTime::UNIX_EPOCH);
        let shared = clock.clone();
        assert_eq!(clock.now(), DateTime::UNIX_EPOCH);
        shared.advance(Duration::seconds(3));
        assert_eq!(clock.now().timestamp(), 3);
    }

    #[test]
    fn the_system_clock_goes_on_and_cannot_be_moved() {
        let clock = Clock::system();
        let before = clock.now();
        clock.advance(Duration::days(-1));
        assert!(clock.now() >= before);
    }
}
