//! How long a producer's endpoint takes until the head of a response: an average that moves.

use std::time::Duration;

use tokio::time::Instant;

/// What a call that failed counts as.
pub const TIME_OUT: Duration = Duration::from_secs(10);
/// So many answers in a row by which an API failed count: fewer may be for what was asked.
const IN_A_ROW: u32 = 3;
/// Each answer before that by which an API failed makes it count as so many times as slow.
const DOUBT: f64 = 4.0;
/// As slow as this at least, in seconds.
const DOUBT_FROM: f64 = 0.005;
/// What one observation weighs in the average, at least.
const WEIGHT: f64 = 0.1;
/// An average that nothing confirms halves within this time, so that a slow endpoint is asked
/// again some day.
const HALF_LIFE: f64 = 2.0;
/// After each failure in a row it takes twice as long, so many times at most.
const MAX_DOUBLINGS: u32 = 4;

/// The average of one producer's endpoint; nothing is known at first.
#[derive(Debug, Default)]
pub struct Latency {
    observed: Option<Observed>,
    /// Failures in a row.
    failures: u32,
    /// Whether the average holds one of them.
    is_failing: bool,
    /// What it counts as at least, since its API has failed once or twice.
    doubt: Option<Observed>,
}

#[derive(Debug, Clone, Copy)]
struct Observed {
    seconds: f64,
    at: Instant,
}

impl Latency {
    /// A call was answered after this time.
    pub fn answered(&mut self, took: Duration, now: Instant) {
        self.failures = 0;
        self.doubt = None;
        if std::mem::take(&mut self.is_failing) {
            // It works again: what was lost before says nothing of it.
            self.observed = None;
        }
        self.observe(took.as_secs_f64(), now);
    }

    /// A call was not answered, or its API not reached.
    pub fn failed(&mut self, now: Instant) {
        self.observe(TIME_OUT.as_secs_f64(), now);
        self.failures = self.failures.saturating_add(1);
        self.is_failing = true;
    }

    /// An API answered that it failed: that may be for what was asked, unless it does so again
    /// and again.
    pub fn answered_by_failure(&mut self, now: Instant) {
        if self.failures + 1 >= IN_A_ROW {
            return self.failed(now);
        }
        let usual = self.at(now).map_or(0.0, |usual| usual.as_secs_f64());
        let seconds = usual.max(DOUBT_FROM) * DOUBT;
        self.failures += 1;
        self.doubt = Some(Observed { seconds, at: now });
    }

    /// The average; none if nothing is known.
    pub fn at(&self, now: Instant) -> Option<Duration> {
        let both = [self.observed, self.doubt].into_iter().flatten();
        let seconds = both.map(|one| one.seconds * self.left(one, now));
        let seconds = seconds.reduce(f64::max)?;
        Some(Duration::from_secs_f64(seconds.min(3_600.0)))
    }

    fn observe(&mut self, seconds: f64, now: Instant) {
        let average = match self.observed {
            None => seconds,
            Some(before) => {
                // The older the average, the less it counts.
                let weight = 1.0 - (1.0 - WEIGHT) * self.left(before, now);
                before.seconds + weight * (seconds - before.seconds)
            }
        };
        self.observed = Some(Observed {
            seconds: average,
            at: now,
        });
    }

    /// Which part is left of an average by now.
    fn left(&self, observed: Observed, now: Instant) -> f64 {
        let age = now.saturating_duration_since(observed.at).as_secs_f64();
        let half_life = HALF_LIFE * f64::from(1 << self.failures.min(MAX_DOUBLINGS));
        (-age / half_life).exp2()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn an_average_follows_what_is_observed() {
        let mut latency = Latency::default();
        let start = Instant::now();
        assert_eq!(latency.at(start), None);
        for n in 0..100 {
            latency.answered(5 * MS, start + n * 10 * MS);
        }
        let now = start + 990 * MS;
        assert!(latency.at(now).unwrap().abs_diff(5 * MS) < MS);
        for n in 0..100 {
            latency.answered(50 * MS, now + n * 10 * MS);
        }
        assert!(latency.at(now + 990 * MS).unwrap() > 45 * MS);
    }

    #[tokio::test(start_paused = true)]
    async fn one_failure_costs_more_than_any_answer_and_is_forgotten_after_the_next_answer() {
        let mut latency = Latency::default();
        let now = Instant::now();
        latency.answered(5 * MS, now);
        latency.failed(now);
        assert!(latency.at(now).unwrap() > 500 * MS);
        latency.answered(5 * MS, now);
        assert_eq!(latency.at(now).unwrap(), 5 * MS);
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_that_fails_now_and_then_is_called_as_others_are() {
        let mut latency = Latency::default();
        let now = Instant::now();
        for _ in 0..20 {
            latency.answered(5 * MS, now);
            latency.answered_by_failure(now);
            latency.answered_by_failure(now);
        }
        assert!(latency.at(now).unwrap().abs_diff(80 * MS) < MS);
        latency.answered(5 * MS, now);
        assert!(latency.at(now).unwrap().abs_diff(5 * MS) < MS);
    }

    #[tokio::test(start_paused = true)]
    async fn each_failure_in_a_row_has_an_api_be_asked_more_seldom() {
        let mut latency = Latency::default();
        let now = Instant::now();
        latency.answered(5 * MS, now);
        let mut before = 5 * MS;
        for _ in 0..3 {
            latency.answered_by_failure(now);
            let counts_as = latency.at(now).unwrap();
            assert!(counts_as >= before * 4, "{counts_as:?}");
            before = counts_as;
        }
        // The third counts as a call that has no answer.
        assert!(before > 500 * MS);
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_again_and_again_is_asked_more_and_more_seldom() {
        let later = Duration::from_secs(20);
        let after = |failures: u32| {
            let mut latency = Latency::default();
            let now = Instant::now();
            for _ in 0..failures {
                latency.failed(now);
            }
            latency.at(now + later).unwrap()
        };
        assert!(after(1) < after(2) && after(2) < after(4));
        assert_eq!(after(4), after(40));
        assert!(after(4) < TIME_OUT);
    }
}
