//! Copies of a running end's state that act: whether the ledger finds each of them, and after
//! how many exchanges. Each trial enrols the end anew that its finding ended.

pub(crate) mod trial;

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use armour_api::{Policy, Role};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

pub use self::trial::Trial;
use crate::system::{Setup, System, brisk};

/// What a run is to do.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How many clones of consumers.
    pub consumers: usize,
    /// How many clones of producers.
    pub producers: usize,
    /// How many systems play at once.
    pub parallel: usize,
    /// Endpoints of each side besides those that may be copied; calls go to the producers', too.
    pub bystanders: usize,
}

/// What a run showed, for programs to read.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// Clones that were found.
    pub found: usize,
    /// How many there were.
    pub of: usize,
    /// Clones of consumers that were found.
    pub consumers_found: usize,
    /// How many there were.
    pub consumers: usize,
    /// Clones of producers that were found.
    pub producers_found: usize,
    /// How many there were.
    pub producers: usize,
    /// Bundles in use between those that nobody copied, of all trials together.
    pub bystanders: usize,
    /// Endpoints and bundles of those that nobody copied, and that were cut all the same.
    pub bystanders_cut: usize,
    /// Exchanges that whoever acted second tried until the finding, in the middle.
    pub median_exchanges_to_find: Option<u32>,
}

/// What a run showed.
#[derive(Debug)]
pub struct Outcome {
    /// Each trial.
    pub trials: Vec<Trial>,
    /// How long it took.
    pub time: Duration,
}

/// Plays all of it.
///
/// # Errors
/// If a system does not start, or does not come back after a finding.
pub async fn run(plan: Plan) -> anyhow::Result<Outcome> {
    let since = Instant::now();
    let bar = ProgressBar::new((plan.consumers + plan.producers) as u64);
    bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} clones")?);
    let consumers = (0..plan.consumers).map(|number| (Role::Consumer, number));
    let producers = (0..plan.producers).map(|number| (Role::Producer, number));
    let due: Mutex<Vec<_>> = Mutex::new(consumers.chain(producers).collect());
    let next = || due.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let players = (0..plan.parallel.max(1)).map(|_| async {
        let mut trials = Vec::new();
        let mut system = System::set_up(setup(plan.bystanders)).await?;
        while let Some((role, number)) = next() {
            // In turns the copy or its victim acts first.
            trials.push(trial::play(&mut system, role, number).await?);
            bar.inc(1);
        }
        anyhow::Ok(trials)
    });
    let mut trials = Vec::new();
    for played in futures::future::join_all(players).await {
        trials.extend(played?);
    }
    bar.finish_and_clear();
    Ok(Outcome {
        trials,
        time: since.elapsed(),
    })
}

fn setup(bystanders: usize) -> Setup {
    Setup {
        bystanders,
        policy: Policy {
            // Found by an exchange, and not by a heartbeat or an empty exchange before it.
            heartbeat_interval_ms: 20_000,
            empty_exchange_interval_ms: 60_000,
            // On a lane that its victim does not use a copy would be the first.
            max_lanes: 1,
            ..brisk()
        },
        exports: true,
        retry_for: 5,
        ..Setup::default()
    }
}

impl Outcome {
    /// The figures.
    pub fn figures(&self) -> Figures {
        let of = |role| self.trials.iter().filter(move |trial| trial.role == role);
        let found = |role| of(role).filter(|trial| trial.found.is_some()).count();
        let mut exchanges: Vec<u32> = self
            .trials
            .iter()
            .filter(|trial| trial.found.is_some())
            .map(|trial| trial.exchanges)
            .collect();
        exchanges.sort_unstable();
        Figures {
            found: found(Role::Consumer) + found(Role::Producer),
            of: self.trials.len(),
            consumers_found: found(Role::Consumer),
            consumers: of(Role::Consumer).count(),
            producers_found: found(Role::Producer),
            producers: of(Role::Producer).count(),
            bystanders: self.trials.iter().map(|trial| trial.bystanders).sum(),
            bystanders_cut: self.bystanders_cut(),
            median_exchanges_to_find: exchanges.get(exchanges.len() / 2).copied(),
        }
    }

    /// Whether all were found, and nobody else suffered.
    pub fn is_clean(&self) -> bool {
        let found = self.trials.iter().all(|trial| trial.found.is_some());
        found && self.bystanders_cut() == 0
    }

    fn bystanders_cut(&self) -> usize {
        self.trials.iter().map(|trial| trial.bystanders_cut).sum()
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (number, trial) in self.trials.iter().enumerate() {
            let kind = trial.found.map_or("NOT FOUND", |kind| kind.into_str());
            writeln!(
                f,
                "{number:4} {:9} {kind:16} after {} exchanges, {} ms",
                trial.role.into_str(),
                trial.exchanges,
                trial.time.as_millis()
            )?;
        }
        writeln!(f, "{:.0} seconds", self.time.as_secs_f64())
    }
}
