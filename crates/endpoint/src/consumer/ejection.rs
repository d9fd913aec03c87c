//! For how long an endpoint that fails is left out, and how many may be.

use std::time::Duration;

use tokio::time::Instant;

/// The first time.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST: Duration = Duration::from_secs(30);

/// When an endpoint was left out, and how often in a row.
#[derive(Debug, Default)]
pub struct Ejection {
    until: Option<Instant>,
    times: u32,
}

impl Ejection {
    /// Leaves it out from now on: for a second at first, and twice as long each time, up to
    /// 30 s; `jitter`, from 0 to 1, makes that half as long again at most. It stays as it is
    /// while it is out.
    pub fn eject(&mut self, now: Instant, jitter: f64) {
        if self.until.is_some_and(|until| now < until) {
            return;
        }
        let base = SHORTEST * (1 << self.times.min(5));
        let wait = base.mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 2.0);
        self.until = Some(now + wait.min(LONGEST));
        self.times = self.times.saturating_add(1);
    }

    /// When its time is over; none if it is not out.
    pub fn until(&self) -> Option<Instant> {
        self.until
    }

    /// It is taken in again. The next time will be as long again.
    pub fn end(&mut self) {
        self.until = None;
    }

    /// It works: the next time will be the first.
    pub fn forget(&mut self) {
        *self = Self::default();
    }
}

/// Which of them may be called, by when each is out until: those that are not, and where more
/// than half are out, those that come back first. Where all are out there is nothing to choose
/// by: then all may be.
pub fn admitted(out: &[Option<Instant>]) -> Vec<usize> {
    let mut admitted: Vec<usize> = places(out, |until| until.is_none());
    if admitted.is_empty() {
        return (0..out.len()).collect();
    }
    let mut ejected = places(out, |until| until.is_some());
    ejected.sort_by_key(|&at| out[at]);
    let too_many = ejected.len().saturating_sub(out.len() / 2);
    admitted.extend(&ejected[..too_many]);
    admitted
}

fn places(out: &[Option<Instant>], are: impl Fn(Option<Instant>) -> bool) -> Vec<usize> {
    (0..out.len()).filter(|&at| are(out[at])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_time_is_twice_as_long_up_to_half_a_minute() {
        let mut ejection = Ejection::default();
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            let now = Instant::now();
            ejection.eject(now, 0.0);
            // It is out already.
            ejection.eject(now, 1.0);
            let until = ejection.until().unwrap();
            assert_eq!(until - now, Duration::from_secs(seconds));
            tokio::time::advance(until - now).await;
            ejection.end();
        }
        ejection.forget();
        ejection.eject(Instant::now(), 1.0);
        let wait = ejection.until().unwrap() - Instant::now();
        assert_eq!(wait, Duration::from_millis(1_500));
    }

    #[tokio::test(start_paused = true)]
    async fn at_most_half_are_left_out() {
        let at = |seconds| Some(Instant::now() + Duration::from_secs(seconds));
        assert_eq!(admitted(&[None, at(1), None]), [0, 2]);
        assert_eq!(admitted(&[at(9), None, at(3)]), [1, 2]);
        assert_eq!(admitted(&[at(9), None]), [1]);
        assert_eq!(admitted(&[at(9), at(3), None, at(5)]), [2, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn where_all_fail_all_are_called() {
        let out = Some(Instant::now());
        assert_eq!(admitted(&[out, out, out]), [0, 1, 2]);
        assert_eq!(admitted(&[out]), [0]);
    }
}
