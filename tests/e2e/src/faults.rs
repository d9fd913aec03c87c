//! Traffic under faults, and whether anything was run twice, lost, or taken
//! for a theft.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use armour_api::{Bundle, Page};
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    ledger::until_reported,
    load::{Load, Tally},
    process::until,
    system::System,
};

/// What a run is to do.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How many exchanges.
    pub exchanges: u64,
    /// How many callers at once.
    pub callers: usize,
    /// A process is killed after so many exchanges, each kind in turn.
    pub kill_every: u64,
    /// Chance, in millionths a read, that a connection between agents is cut.
    pub loss: u32,
}

/// What a run showed.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What became of the calls.
    pub tally: Tally,
    /// Exchanges in the ledger, empty ones included.
    pub recorded: i64,
    /// SIGKILLs, by process.
    pub kills: [u64; KINDS.len()],
    /// Connections cut.
    pub cuts: u64,
    /// Bundles drawn.
    pub bundles: usize,
    /// How long it took.
    pub time: Duration,
}

/// What is killed, in turn.
pub const KINDS: [&str; 4] = [
    "consumer's agent",
    "producer's agent",
    "control plane",
    "PostgreSQL",
];

/// Runs the plan.
///
/// # Errors
/// If the system does not come back after a fault.
pub async fn run(mut system: System, plan: Plan) -> anyhow::Result<Outcome> {
    let since = Instant::now();
    let bar = ProgressBar::new(plan.exchanges);
    bar.set_style(ProgressStyle::with_template(
        "{bar:30} {pos}/{len} exchanges  {msg}",
    )?);
    system.hop.lose(plan.loss);
    let mut load = Load::start(&system, plan.callers, plan.exchanges);
    let mut outcome = Outcome::default();
    let mut turn = 0;
    let mut next_kill = plan.kill_every;
    while load.goes_on().await {
        bar.set_position(load.done());
        if load.done() < next_kill || load.done() >= plan.exchanges {
            continue;
        }
        let kind = turn % KINDS.len();
        turn += 1;
        bar.set_message(format!("killed: {}", KINDS[kind]));
        match kind {
            0 => system.consumer.crash().await?,
            1 => system.producer.crash().await?,
            2 => system.control_planes[0].crash().await?,
            _ => system.postgres.crash().await?,
        }
        outcome.kills[kind] += 1;
        // One fault at a time: a ticket that both ends forget before the
        // ledger has it is lost to a batched policy by design.
        system.until_served().await.context("after a fault")?;
        until("the control plane", || async {
            system.operator.ready().await.is_ok()
        })
        .await?;
        until_reported(&system).await?;
        next_kill = load.done() + plan.kill_every;
    }
    bar.finish_and_clear();
    system.hop.lose(0);
    // Everybody recovers by itself, and every report gets through.
    system.until_served().await.context("after the faults")?;
    outcome.time = since.elapsed();
    outcome.cuts = system.hop.cuts();
    outcome.tally = load.finish(&system).await?;
    until_reported(&system).await?;
    let mut cursor = String::new();
    loop {
        let page: Page<Bundle> = system.operator.get(&format!("/v1/bundles{cursor}")).await?;
        outcome.bundles += page.items.len();
        outcome.recorded += page
            .items
            .iter()
            .map(|bundle| bundle.exchanges)
            .sum::<i64>();
        match page.next {
            Some(next) => cursor = format!("?cursor={next}"),
            None => return Ok(outcome),
        }
    }
}

impl Outcome {
    /// Whether nothing happened that must not.
    pub fn is_clean(&self) -> bool {
        self.tally.is_clean()
            && self.recorded >= i64::try_from(self.tally.acknowledged).unwrap_or(i64::MAX)
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, kills) in KINDS.iter().zip(self.kills) {
            writeln!(f, "{:28} {kills:>10}", format!("SIGKILL, {name}"))?;
        }
        write!(f, "{}", self.tally)?;
        let lines = [
            ("connections cut", self.cuts.to_string()),
            ("bundles drawn", self.bundles.to_string()),
            ("exchanges in the ledger", self.recorded.to_string()),
            ("seconds", format!("{:.0}", self.time.as_secs_f64())),
        ];
        for (name, value) in lines {
            writeln!(f, "{name:28} {value:>10}")?;
        }
        Ok(())
    }
}
