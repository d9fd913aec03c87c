//! Times several things in turns.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Medians of several things, measured in turns so that a slow moment of the
/// machine strikes all of them alike.
pub struct Race {
    names: Vec<String>,
    times: Vec<Vec<f64>>,
}

/// A contestant: its name and one unit of its work.
pub type Contestant<'a> = (&'a str, Box<dyn FnMut() + 'a>);

impl Race {
    /// Runs every contestant `rounds` times, each time for about `turn`.
    pub fn run(contestants: &mut [Contestant<'_>], rounds: usize, turn: Duration) -> Self {
        Self::timed(contestants, rounds, turn, ClockId::Monotonic)
    }

    /// The same for what computes and waits for nobody: time is that of this thread on a
    /// core, which what else the machine runs is no part of.
    pub fn on_a_core(contestants: &mut [Contestant<'_>], rounds: usize, turn: Duration) -> Self {
        Self::timed(contestants, rounds, turn, ClockId::ThreadCPUTime)
    }

    fn timed(
        contestants: &mut [Contestant<'_>],
        rounds: usize,
        turn: Duration,
        clock: ClockId,
    ) -> Self {
        let mut race = Self {
            names: contestants
                .iter()
                .map(|(name, _)| (*name).to_owned())
                .collect(),
            times: vec![Vec::new(); contestants.len()],
        };
        for round in 0..=rounds {
            for ((_, work), times) in contestants.iter_mut().zip(&mut race.times) {
                let since = now(clock);
                let mut units = 0u32;
                while now(clock) - since < turn {
                    work();
                    units += 1;
                }
                let took = now(clock) - since;
                // The first round warms up.
                if round > 0 {
                    times.push(took.as_secs_f64() * 1e6 / f64::from(units));
                }
            }
        }
        race
    }

    /// Median of a contestant, in microseconds.
    pub fn median(&self, name: &str) -> f64 {
        let times = self.times_of(name);
        times.map_or(f64::NAN, |times| median(times.iter().copied()))
    }

    /// Median over the turns of one's time by another's in the same turn: what slows the
    /// machine down slows both.
    pub fn of(&self, name: &str, peer: &str) -> f64 {
        let (Some(times), Some(peers)) = (self.times_of(name), self.times_of(peer)) else {
            return f64::NAN;
        };
        median(times.iter().zip(peers).map(|(time, peer)| time / peer))
    }

    /// Least and most, in microseconds.
    pub fn spread(&self, name: &str) -> (f64, f64) {
        let times = self.times_of(name).map_or(&[][..], Vec::as_slice);
        let pick = |pick: fn(f64, f64) -> f64| times.iter().copied().fold(f64::NAN, pick);
        (pick(f64::min), pick(f64::max))
    }

    fn times_of(&self, name: &str) -> Option<&Vec<f64>> {
        let at = self.names.iter().position(|known| known == name)?;
        self.times.get(at)
    }
}

fn now(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    // Neither is negative for these clocks.
    Duration::new(
        time.tv_sec.unsigned_abs(),
        time.tv_nsec.unsigned_abs() as u32,
    )
}

fn median(times: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = times.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
