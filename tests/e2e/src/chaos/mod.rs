//! Everything that can go wrong, at random and two at a time, under traffic and thefts;
//! then the recorded history is held against what must be true of it.

mod disturb;
mod history;

use std::{
    collections::BTreeMap,
    fmt,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use armour_api::{Endpoint, EndpointState, PairState, Policy, Reporting};
use armour_cli::servers::user::is_root;
use indicatif::{ProgressBar, ProgressStyle};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use self::disturb::{Disturbance, KINDS};
pub use self::history::History;
use crate::{
    ledger::Marks,
    load::Load,
    process::until,
    system::{Setup, System, brisk},
    thief::steal_memory,
};

/// What a run is to do.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// For how long.
    pub time: Duration,
    /// How many callers at once.
    pub callers: usize,
    /// Where the random choices begin; the same seed chooses the same.
    pub seed: u64,
}

/// What a run showed.
pub struct Outcome {
    /// How often each kind of fault was brought about.
    pub faults: BTreeMap<&'static str, u64>,
    /// Thefts of which the thief was served, which was found out each time; and those of
    /// which it was not.
    pub thefts: (u64, u64),
    /// Collisions that followed no theft, or no collision that should have.
    pub false_or_missed: Vec<String>,
    /// What the history holds.
    pub history: History,
    /// How long the system took to serve again, at most.
    pub slowest_recovery: Duration,
}

const REPLICAS: usize = 2;
/// A fault lasts no longer than this: less than leases and graces.
const LONGEST: Duration = Duration::from_secs(6);
const THEFT_EVERY: Duration = Duration::from_secs(40);

/// Looks whether a run can be made here: it needs root, and a kernel that lets it have networks
/// and a disk of its own, which a container's may not.
///
/// # Errors
/// If it cannot: why.
pub fn check_machine() -> anyhow::Result<()> {
    ensure!(is_root(), "not root");
    let tried = Command::new("unshare")
        .args(["--net", "--mount", "true"])
        .output()
        .context("unshare, of util-linux")?;
    ensure!(
        tried.status.success(),
        "{}",
        String::from_utf8_lossy(&tried.stderr).trim()
    );
    Ok(())
}

/// Runs the plan. Needs what [`check_machine`] looks for.
///
/// # Errors
/// If the system does not serve again after a fault.
pub async fn run(plan: Plan, keep: bool) -> anyhow::Result<Outcome> {
    let setup = Setup {
        policy: Policy {
            reporting: Reporting::Strict,
            lease_ms: 30_000,
            // The network and paused programs may hold a message for that long.
            supersede_grace_ms: 60_000,
            ..brisk()
        },
        replicas: REPLICAS,
        exports: true,
        apart: true,
        direct: true,
        // A full disk is told by the log, not by a core.
        postgres: vec![("max_wal_size", "256MB".to_owned())],
        ..Setup::default()
    };
    let mut system = System::set_up(setup).await?;
    if keep {
        println!("logs in {}", system.keep().display());
    }
    let mut rng = StdRng::seed_from_u64(plan.seed);
    let bar = ProgressBar::new(plan.time.as_secs());
    bar.set_style(ProgressStyle::with_template(
        "{bar:30} {pos}/{len} s  {msg}",
    )?);
    let since = Instant::now();
    let mut load = Load::start(&system, plan.callers, u64::MAX);
    let mut outcome = Outcome {
        faults: KINDS.iter().map(|kind| (kind.name(), 0)).collect(),
        thefts: (0, 0),
        false_or_missed: Vec::new(),
        history: History::default(),
        slowest_recovery: Duration::ZERO,
    };
    let mut next_theft = THEFT_EVERY / 2;
    // However slow the machine is, every kind has its turn.
    let most = plan.time * 4;
    while since.elapsed() < plan.time || (outcome.lacks_something() && since.elapsed() < most) {
        bar.set_position(since.elapsed().as_secs());
        load.goes_on().await;
        if since.elapsed() >= next_theft {
            bar.set_message("a theft");
            theft(&mut system, &mut outcome).await?;
            next_theft = since.elapsed() + THEFT_EVERY;
        }
        // Each kind in turn, in an order that changes, so that none is forgotten.
        let least = outcome.faults.values().min().copied().unwrap_or(0);
        let due: Vec<&Disturbance> = KINDS
            .iter()
            .filter(|kind| outcome.faults[kind.name()] == least)
            .collect();
        let mut chosen = vec![due[rng.random_range(0..due.len())]];
        if rng.random_bool(0.3) {
            let other = due[rng.random_range(0..due.len())];
            if other.may_join(*chosen[0]) {
                chosen.push(other);
            }
        }
        let names: Vec<&str> = chosen.iter().map(|kind| kind.name()).collect();
        bar.set_message(names.join(" and "));
        let replica = rng.random_range(0..REPLICAS);
        let mut begun = Vec::new();
        for kind in &chosen {
            begun.push(
                kind.begin(&mut system, replica)
                    .await
                    .context(kind.name())?,
            );
            if let Some(count) = outcome.faults.get_mut(kind.name()) {
                *count += 1;
            }
        }
        tokio::time::sleep(Duration::from_millis(
            rng.random_range(300..LONGEST.as_millis() as u64),
        ))
        .await;
        for (kind, held) in chosen.iter().zip(begun) {
            kind.end(&mut system, replica, held)
                .await
                .context(kind.name())?;
        }
        let healed = Instant::now();
        let unexpected = unexpected(&system, &outcome).await;
        if let Some(unexpected) = unexpected {
            outcome
                .false_or_missed
                .push(format!("{unexpected} after {}", names.join(" and ")));
            go_on(&mut system).await?;
        }
        until("a protected call after a fault", || async {
            system.get("/echo?id=ready").await.is_ok()
        })
        .await
        .with_context(|| names.join(" and "))?;
        outcome.slowest_recovery = outcome.slowest_recovery.max(healed.elapsed());
    }
    bar.finish_and_clear();
    let tally = load.finish(&system).await?;
    history::settle(&mut system).await?;
    let unexpected = unexpected(&system, &outcome).await;
    outcome.false_or_missed.extend(unexpected);
    outcome.history = history::check(&system, tally).await?;
    Ok(outcome)
}

/// A collision that no theft explains, if there is one.
async fn unexpected(system: &System, outcome: &Outcome) -> Option<String> {
    let found = system.collisions().await.ok()? as u64;
    let known = outcome.thefts.0 + outcome.false_or_missed.len() as u64;
    (found > known).then(|| format!("a false collision ({found} instead of {known})"))
}

/// A thief copies the consumer's memory and acts; both must be cut off.
async fn theft(system: &mut System, outcome: &mut Outcome) -> anyhow::Result<()> {
    let number = outcome.thefts.0 + outcome.thefts.1;
    let before = system.collisions().await?;
    let owned = Marks::at_heads(system, 0).await?;
    let thief = match steal_memory(system, &format!("thief-{number}")).await {
        Ok(thief) => thief,
        Err(_) => {
            outcome.thefts.1 += 1;
            return Ok(());
        }
    };
    let served = system.get_at(&thief.base, "/echo?id=thief").await.is_ok();
    // The owner goes on: its callers, its heartbeats. What both ends report of a lane after
    // the thief is gone shows that the thief has spent no ticket of it.
    let thief = served.then_some(thief);
    let later = Marks::at_heads(system, 1).await?.of_lanes_in(&owned);
    let collided = async || system.collisions().await.is_ok_and(|count| count > before);
    until("a collision", || async {
        collided().await || (!served && later.are_reported(system).await.unwrap_or(false))
    })
    .await
    .ok();
    let found = collided().await;
    drop(thief);
    match (served, found) {
        (_, true) => outcome.thefts.0 += 1,
        // All lanes were busy, or its owner was quicker: it has spent no ticket.
        (false, false) => outcome.thefts.1 += 1,
        (true, false) => outcome
            .false_or_missed
            .push(format!("theft {number} was missed")),
    }
    if found {
        go_on(system).await?;
    } else {
        // In a lane that its owner has not opened yet a ticket may have been left behind,
        // which would be found at any time from now on.
        let why = "a theft without a collision";
        system.operator.disconnect_pair(system.pair, why).await?;
        re_arm(system).await?;
    }
    until("a protected call after a theft", || async {
        system.get("/echo?id=ready").await.is_ok()
    })
    .await
}

/// What people do after a collision: enrol the endpoints whose identity has ended anew, and
/// re-arm the pair.
async fn go_on(system: &mut System) -> anyhow::Result<()> {
    for endpoint in system.all::<Endpoint>("/v1/endpoints?").await? {
        if endpoint.state == EndpointState::Collided && system.ended.insert(endpoint.id) {
            system.enrol_again(endpoint.role).await?;
        }
    }
    let pair = system.operator.pair(system.pair).await?;
    match pair.state {
        PairState::Disconnected => re_arm(system).await,
        PairState::Active => Ok(()),
    }
}

async fn re_arm(system: &System) -> anyhow::Result<()> {
    system
        .operator
        .re_arm(system.pair, "the thief is gone")
        .await?;
    Ok(())
}

impl Outcome {
    /// Whether a kind of fault, or a theft that could be found out, has not come yet.
    fn lacks_something(&self) -> bool {
        self.faults.values().any(|count| *count == 0) || self.thefts.0 == 0
    }

    /// Whether everything held.
    pub fn is_clean(&self) -> bool {
        self.false_or_missed.is_empty() && self.history.is_clean()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "faults")?;
        for (name, count) in &self.faults {
            writeln!(f, "  {name:46} {count:>8}")?;
        }
        writeln!(f, "thefts")?;
        writeln!(f, "  {:46} {:>8}", "found out", self.thefts.0)?;
        writeln!(f, "  {:46} {:>8}", "the thief got nothing", self.thefts.1)?;
        let wrong = self.false_or_missed.len();
        writeln!(f, "  {:46} {wrong:>8}", "false or missed collisions")?;
        for wrong in &self.false_or_missed {
            writeln!(f, "    {wrong}")?;
        }
        write!(f, "{}", self.history)?;
        let slowest = self.slowest_recovery.as_secs_f64();
        writeln!(f, "  {:46} {slowest:>8.1}", "slowest recovery, seconds")
    }
}
