//! Traffic under faults, and whether anything was run twice, begun after its deadline, lost,
//! or taken for a theft.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use armour_api::{Bundle, Page};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::{
    deadlines::Deadlines,
    ledger::until_reported,
    load::{Load, Tally},
    process::until,
    system::{Setup, System, brisk},
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

/// How long the consumer's agent tries for a caller: less than some faults last, so that
/// deadlines pass.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the network between agents keeps back what it should pass on: longer than a call
/// has to begin.
const HELD: Duration = Duration::from_millis(2_500);

/// What a run needs.
pub fn setup() -> Setup {
    Setup {
        retry_for: PATIENCE.as_secs(),
        ..Setup::default()
    }
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
    /// How often the network between agents kept back what it should pass on.
    pub holds: u64,
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
/// If the system does not come back after a fault. It was set up by [`setup`].
pub async fn run(mut system: System, plan: Plan) -> anyhow::Result<Outcome> {
    let since = Instant::now();
    let bar = ProgressBar::new(plan.exchanges);
    bar.set_style(ProgressStyle::with_template(
        "{bar:30} {pos}/{len} exchanges  {msg}",
    )?);
    system.hop.lose(plan.loss);
    let deadlines = Deadlines {
        patience: PATIENCE,
        begin_within: Duration::from_millis(brisk().begin_within_ms.into()),
    };
    let mut load = Load::start_with(&system, plan.callers, plan.exchanges, Some(deadlines));
    let mut outcome = Outcome::default();
    let mut turn = 0;
    let mut next_kill = plan.kill_every;
    while load.goes_on().await {
        bar.set_position(load.done());
        if load.done() < next_kill || load.done() >= plan.exchanges {
            continue;
        }
        let kind = turn % (KINDS.len() + 1);
        turn += 1;
        let name = KINDS.get(kind).unwrap_or(&"nothing; the network held");
        bar.set_message(format!("killed: {name}"));
        match kind {
            0 => system.consumer.crash().await?,
            1 => system.producer.crash().await?,
            2 => system.control_planes[0].crash().await?,
            3 => system.postgres.crash().await?,
            _ => {
                system.hop.hold(true);
                tokio::time::sleep(HELD).await;
                system.hop.hold(false);
            }
        }
        match outcome.kills.get_mut(kind) {
            Some(kills) => *kills += 1,
            None => outcome.holds += 1,
        }
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

/// The figures, for programs to read.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// Calls made.
    exchanges: u64,
    /// Calls answered with 2xx.
    acknowledged: u64,
    /// Calls refused, or of unknown outcome.
    refused: u64,
    /// Findings of the ledger, though nobody stole anything.
    false_collisions: u64,
    /// Requests that the upstream ran twice.
    run_twice: u64,
    /// Calls that the upstream began after their deadline.
    begun_after_deadline: u64,
    /// Calls acknowledged that the upstream never ran.
    lost: u64,
    /// Answers to another call, or damaged.
    wrong: u64,
    /// SIGKILLs.
    kills: u64,
    /// How often the network kept back what it should pass on.
    holds: u64,
    /// Connections cut.
    cuts: u64,
    /// How long it took.
    seconds: u64,
}

impl From<&Outcome> for Figures {
    fn from(outcome: &Outcome) -> Self {
        let tally = &outcome.tally;
        Self {
            exchanges: tally.sent,
            acknowledged: tally.acknowledged,
            refused: tally.refused,
            false_collisions: tally.false_collisions,
            run_twice: tally.run_twice,
            begun_after_deadline: tally.begun_late.unwrap_or_default(),
            lost: tally.lost,
            wrong: tally.wrong,
            kills: outcome.kills.iter().sum(),
            holds: outcome.holds,
            cuts: outcome.cuts,
            seconds: outcome.time.as_secs(),
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, kills) in KINDS.iter().zip(self.kills) {
            writeln!(f, "{:28} {kills:>10}", format!("SIGKILL, {name}"))?;
        }
        write!(f, "{}", self.tally)?;
        let lines = [
            ("network held for a while", self.holds.to_string()),
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
