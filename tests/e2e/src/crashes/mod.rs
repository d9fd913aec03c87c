//! A short life of a pair, from enrolment to a second start, with one process killed at its
//! n-th write, for each n: what is left must never be taken for a theft, nothing runs twice,
//! and everything works again by itself.

mod calls;
mod kept;
mod kill_at;
mod life;
mod stage;
mod told;
mod victim;

use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio::task::JoinSet;

use self::stage::Stage;
pub use self::{kill_at::Unsupported, told::Told, victim::Victim};

/// What a run is to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Who is killed.
    pub victims: Vec<Victim>,
    /// At how many of its writes each is killed, evenly; none for all of them.
    pub samples: Option<u64>,
    /// How many lives are lived at once.
    pub at_once: usize,
}

/// What a run showed.
#[derive(Debug, Default)]
pub struct Outcome {
    /// For each victim: kills, and writes of a life without one.
    pub kills: BTreeMap<Victim, (u64, u64)>,
    /// The sum of all lives.
    pub sum: Told,
    /// How many lives got stuck.
    pub stuck: u64,
    /// What is wrong, a line each.
    pub wrong: Vec<String>,
    /// How long it took.
    pub time: Duration,
}

/// Runs the plan.
///
/// # Errors
/// [`Unsupported`] where calls cannot be stopped; if something of the test's own breaks.
pub async fn run(plan: Plan) -> anyhow::Result<Outcome> {
    let since = Instant::now();
    let stage = Arc::new(Stage::start().await?);
    let mut outcome = Outcome::default();
    // How many writes there are in a life that nobody ends.
    let mut lives = JoinSet::new();
    for victim in plan.victims.clone() {
        lives.spawn(one(stage.clone(), victim, 0));
    }
    let bar = ProgressBar::new(plan.victims.len() as u64);
    bar.set_style(ProgressStyle::with_template(
        "{bar:30} {pos}/{len} lives without a kill, {elapsed}",
    )?);
    bar.enable_steady_tick(Duration::from_secs(1));
    let mut due = Vec::new();
    while let Some(lived) = lives.join_next().await {
        bar.inc(1);
        let (victim, _, told) = lived?;
        let told = told.with_context(|| format!("{}, not killed", victim.name()))?;
        let writes = told.writes;
        outcome.kills.insert(victim, (0, writes));
        outcome.add(victim, 0, told);
        let places: Vec<u64> = match plan.samples {
            None => (1..=writes).collect(),
            Some(samples) => (0..samples.min(writes))
                .map(|sample| 1 + sample * writes / samples.min(writes))
                .collect(),
        };
        due.push((victim, places));
    }
    bar.finish_and_clear();
    // Those in turn, so that what is at work at once is not the same everywhere.
    let longest = due.iter().map(|(_, places)| places.len()).max();
    let mut due: Vec<(Victim, u64)> = (0..longest.unwrap_or(0))
        .flat_map(|at| {
            due.iter()
                .filter_map(move |(victim, places)| Some((*victim, *places.get(at)?)))
        })
        .rev()
        .collect();
    let bar = ProgressBar::new(due.len() as u64);
    bar.set_style(ProgressStyle::with_template(
        "{bar:30} {pos}/{len} kills, {eta} left  {msg}",
    )?);
    loop {
        while lives.len() < plan.at_once
            && let Some((victim, n)) = due.pop()
        {
            lives.spawn(one(stage.clone(), victim, n));
        }
        let Some(lived) = lives.join_next().await else {
            break;
        };
        let (victim, n, told) = lived?;
        let told = told.unwrap_or_else(|error| Told {
            stuck: Some(format!("{error:#}")),
            ..Told::default()
        });
        bar.inc(1);
        // Lives differ in length: one that was longer than the first is lived to its end.
        let last = outcome.kills.get(&victim).map_or(0, |(_, writes)| *writes);
        if plan.samples.is_none() && n == last && told.killed.is_some() {
            outcome.kills.entry(victim).or_default().1 += 1;
            due.push((victim, n + 1));
            bar.inc_length(1);
        }
        outcome.add(victim, n, told);
        bar.set_message(format!("{} wrong", outcome.wrong.len()));
    }
    bar.finish_and_clear();
    outcome.time = since.elapsed();
    Ok(outcome)
}

async fn one(stage: Arc<Stage>, victim: Victim, n: u64) -> (Victim, u64, anyhow::Result<Told>) {
    (victim, n, life::live(&stage, victim, n).await)
}

impl Outcome {
    fn add(&mut self, victim: Victim, n: u64, told: Told) {
        if told.killed.is_some() {
            self.kills.entry(victim).or_default().0 += 1;
        }
        if !told.is_clean() {
            self.wrong
                .push(format!("{}, write {n}: {told:?}", victim.name()));
        }
        self.stuck += u64::from(told.stuck.is_some());
        self.sum.false_collisions += told.false_collisions;
        self.sum.run_twice += told.run_twice;
        self.sum.ran_after_all += told.ran_after_all;
        self.sum.lost += told.lost;
        self.sum.wrong += told.wrong;
        self.sum.unknown += told.unknown;
    }

    /// How often something was killed.
    pub fn kills(&self) -> u64 {
        self.kills.values().map(|(kills, _)| kills).sum()
    }

    /// Whether nothing happened that must not.
    pub fn is_clean(&self) -> bool {
        self.wrong.is_empty()
    }

    /// One line for programs.
    pub fn json(&self) -> serde_json::Value {
        json!({
            "kills": self.kills(),
            "false_collisions": self.sum.false_collisions,
            "run_twice": self.sum.run_twice,
            "ran_after_all": self.sum.ran_after_all,
            "lost": self.sum.lost,
            "wrong_answers": self.sum.wrong,
            "stuck": self.stuck,
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:28} {:>8} {:>8}", "killed", "kills", "writes")?;
        for (victim, (kills, writes)) in &self.kills {
            writeln!(f, "{:28} {kills:>8} {writes:>8}", victim.name())?;
        }
        let lines = [
            ("run twice upstream", self.sum.run_twice),
            ("ran though told never to", self.sum.ran_after_all),
            ("acknowledged and lost", self.sum.lost),
            ("wrong answers", self.sum.wrong),
            ("false collisions", self.sum.false_collisions),
            ("stuck", self.stuck),
            ("outcome unknown", self.sum.unknown),
            ("seconds", self.time.as_secs()),
        ];
        for (name, value) in lines {
            writeln!(f, "{name:28} {value:>8}")?;
        }
        for wrong in &self.wrong {
            writeln!(f, "{wrong}")?;
        }
        Ok(())
    }
}
