//! How many calls may be made a second time: a fleet that fails is not brought down by that.

use parking_lot::Mutex;
use tokio::time::Instant;

/// Seconds that are looked back.
const WINDOW: u64 = 10;
/// So many a second in any case.
const PER_SECOND: u64 = 10;
/// And one for so many calls.
const PER_CALLS: u64 = 5;

/// 20 % of the last ten seconds' calls, and 100 more.
pub struct RetryBudget {
    start: Instant,
    seconds: Mutex<[Second; WINDOW as usize]>,
}

/// Leave to make one call a second time.
#[derive(Debug)]
pub struct Permit(());

/// What was in one second.
#[derive(Debug, Clone, Copy, Default)]
struct Second {
    number: u64,
    calls: u64,
    retries: u64,
}

impl RetryBudget {
    /// Nothing has been called yet.
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
            seconds: Mutex::default(),
        }
    }

    /// A call has come.
    pub fn call(&self) {
        let now = self.now();
        let mut seconds = self.seconds.lock();
        second(&mut seconds, now).calls += 1;
    }

    /// Leave to make a call a second time, which is then counted; none if too many are.
    pub fn permit(&self) -> Option<Permit> {
        let now = self.now();
        let mut seconds = self.seconds.lock();
        let recent = seconds.iter().filter(|one| one.number + WINDOW > now);
        let (calls, retries) = recent.fold((0, 0), |(calls, retries), one| {
            (calls + one.calls, retries + one.retries)
        });
        let may = retries < calls / PER_CALLS + PER_SECOND * WINDOW;
        if may {
            second(&mut seconds, now).retries += 1;
        }
        may.then_some(Permit(()))
    }

    /// The second that it is, from 0.
    fn now(&self) -> u64 {
        self.start.elapsed().as_secs()
    }
}

fn second(seconds: &mut [Second; WINDOW as usize], now: u64) -> &mut Second {
    let place = &mut seconds[(now % WINDOW) as usize];
    if place.number != now {
        *place = Second {
            number: now,
            ..Second::default()
        };
    }
    place
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn retries(budget: &RetryBudget) -> usize {
        std::iter::from_fn(|| budget.permit()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn a_fifth_of_the_calls_and_ten_a_second_are_made_again() {
        let budget = RetryBudget::new();
        for _ in 0..1_000 {
            budget.call();
        }
        assert_eq!(retries(&budget), 300);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(retries(&budget), 0);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(retries(&budget), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_long_ago_counts_no_longer() {
        let budget = RetryBudget::new();
        for _ in 0..1_000 {
            budget.call();
        }
        tokio::time::advance(Duration::from_secs(100)).await;
        assert_eq!(retries(&budget), 100);
    }
}
