//! Whether the database answers slower than it could, by what always takes the same: to begin a
//! transaction. How many connections those may have then that use it most.

use std::time::Duration;

use tokio::time::Instant;

/// So much slower than at best is busy.
const BUSY: f64 = 3.0;
/// What is not worth a word, in seconds.
const SLACK: f64 = 0.001;
/// How much one answer counts in the mean of the latest.
const LATEST: f64 = 0.1;
/// How much of what is slower the best takes over with each change of the bound: it follows what
/// changes for good, in minutes.
const FORGOTTEN: f64 = 0.000_5;
/// Answers count as so many times the best at most: one that waited for something else says
/// little.
const MOST: f64 = 20.0;
/// How often the bound changes.
const EVERY: Duration = Duration::from_millis(50);

/// What was seen, and what is allowed.
#[derive(Debug)]
pub struct Congestion {
    most: f64,
    allowed: f64,
    /// In seconds.
    best: Option<f64>,
    latest: f64,
    changed: Instant,
}

impl Congestion {
    /// So many connections at most.
    pub fn new(most: usize) -> Self {
        Self {
            most: most as f64,
            allowed: most as f64,
            best: None,
            latest: 0.0,
            changed: Instant::now(),
        }
    }

    /// How many connections those may have that use the database most.
    pub fn allowed(&self) -> usize {
        self.allowed as usize
    }

    /// Takes note of an answer.
    pub fn answered_within(&mut self, time: Duration) {
        let time = time.as_secs_f64();
        let best = self.best.map_or(time, |best| best.min(time));
        self.best = Some(best);
        self.latest += (time.min(MOST * best) - self.latest) * LATEST;
        if self.changed.elapsed() < EVERY {
            return;
        }
        self.changed = Instant::now();
        self.best = Some(best + (self.latest - best).max(0.0) * FORGOTTEN);
        // Down by a part, up by little: so that it comes to rest.
        self.allowed = match self.latest > BUSY * best + SLACK {
            true => self.allowed * 0.75,
            false => self.allowed + 0.1,
        }
        .clamp(1.0, self.most);
    }
}
