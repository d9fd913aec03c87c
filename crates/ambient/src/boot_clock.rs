//! Time since the machine was started.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use rustix::time::{ClockId, clock_gettime};

/// A clock that never steps and that goes on while the machine sleeps (CLOCK_BOOTTIME);
/// clones show the same time.
#[derive(Debug, Clone, Default)]
pub struct BootClock(Source);

#[derive(Debug, Clone, Default)]
enum Source {
    #[default]
    System,
    Fixed(Arc<AtomicU64>),
}

impl BootClock {
    /// This machine's.
    pub fn system() -> Self {
        Self::default()
    }

    /// One that stands at some milliseconds until it is moved. For tests only.
    pub fn fixed(at: u64) -> Self {
        Self(Source::Fixed(Arc::new(AtomicU64::new(at))))
    }

    /// Milliseconds since the machine was started.
    pub fn now_ms(&self) -> u64 {
        match &self.0 {
            Source::System => {
                let now = clock_gettime(ClockId::Boottime);
                // Neither part is ever negative.
                now.tv_sec as u64 * 1_000 + now.tv_nsec as u64 / 1_000_000
            }
            Source::Fixed(at) => at.load(Ordering::Relaxed),
        }
    }

    /// Moves a fixed clock on; this machine's stays as it is.
    pub fn advance(&self, by_ms: u64) {
        if let Source::Fixed(at) = &self.0 {
            at.fetch_add(by_ms, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_clock_stands_until_it_is_moved() {
        let clock = BootClock::fixed(5);
        let shared = clock.clone();
        shared.advance(3);
        assert_eq!(clock.now_ms(), 8);
    }

    #[test]
    fn the_systems_clock_goes_on_and_cannot_be_moved() {
        let clock = BootClock::system();
        let before = clock.now_ms();
        clock.advance(1 << 40);
        let after = clock.now_ms();
        assert!(before > 0 && after >= before && after - before < 1 << 40);
    }
}
