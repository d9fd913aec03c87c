//! Timing, counting and a pair of endpoints, shared by the benchmarks.
#![expect(clippy::disallowed_methods, reason = "measures real time")]

pub mod counting;
pub mod pair;
pub mod service;

use std::time::{Duration, Instant};

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
        let mut race = Self {
            names: contestants
                .iter()
                .map(|(name, _)| (*name).to_owned())
                .collect(),
            times: vec![Vec::new(); contestants.len()],
        };
        for round in 0..=rounds {
            for ((_, work), times) in contestants.iter_mut().zip(&mut race.times) {
                let since = Instant::now();
                let mut units = 0u32;
                while since.elapsed() < turn {
                    work();
                    units += 1;
                }
                // The first round warms up.
                if round > 0 {
                    times.push(since.elapsed().as_secs_f64() * 1e6 / f64::from(units));
                }
            }
        }
        for times in &mut race.times {
            times.sort_by(f64::total_cmp);
        }
        race
    }

    /// Median of a contestant, in microseconds.
    pub fn median(&self, name: &str) -> f64 {
        self.times_of(name)
            .map_or(f64::NAN, |times| times[times.len() / 2])
    }

    /// Least and most, in microseconds.
    pub fn spread(&self, name: &str) -> (f64, f64) {
        self.times_of(name).map_or((f64::NAN, f64::NAN), |times| {
            (times[0], times[times.len() - 1])
        })
    }

    fn times_of(&self, name: &str) -> Option<&Vec<f64>> {
        let at = self.names.iter().position(|known| known == name)?;
        self.times.get(at)
    }
}
