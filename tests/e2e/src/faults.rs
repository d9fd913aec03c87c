//! Traffic under faults, and whether anything was run twice, lost, or taken
//! for a theft.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use armour_api::{Bundle, Page};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::{sync::Mutex, task::JoinSet};

use crate::{process::until, system::System};

/// How long the ends have to report what waited while a fault lasted.
const SETTLE: Duration = Duration::from_millis(700);

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
    /// Calls that were answered with 2xx.
    pub acknowledged: u64,
    /// Calls that were refused, or whose outcome is unknown.
    pub refused: u64,
    /// Requests that the upstream ran twice.
    pub run_twice: u64,
    /// Calls acknowledged that the upstream never ran.
    pub lost: u64,
    /// Answers that belong to another call, or are damaged.
    pub wrong: u64,
    /// Collisions; nobody stole anything, so each is a false one.
    pub false_collisions: u64,
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
    let load = Arc::new(Load {
        base: system.base.clone(),
        next: AtomicU64::new(0),
        done: AtomicU64::new(0),
        refused: AtomicU64::new(0),
        wrong: AtomicU64::new(0),
        acknowledged: Mutex::default(),
        exchanges: plan.exchanges,
    });
    let mut callers = JoinSet::new();
    for _ in 0..plan.callers {
        callers.spawn(call(load.clone(), system.http.clone()));
    }
    let mut outcome = Outcome::default();
    let turn = AtomicUsize::new(0);
    let mut next_kill = plan.kill_every;
    while !callers.is_empty() {
        let done = load.done.load(Ordering::Relaxed);
        bar.set_position(done);
        if done >= next_kill && done < plan.exchanges {
            let kind = turn.fetch_add(1, Ordering::Relaxed) % KINDS.len();
            bar.set_message(format!("killed: {}", KINDS[kind]));
            match kind {
                0 => system.consumer.crash().await?,
                1 => system.producer.crash().await?,
                2 => system.control_plane.crash().await?,
                _ => system.postgres.crash().await?,
            }
            outcome.kills[kind] += 1;
            // One fault at a time: a ticket that both ends forget before the
            // ledger has it is lost to a batched policy by design.
            system.until_served().await.context("after a fault")?;
            until("the control plane", Duration::from_secs(30), || async {
                system.operator.ready().await.is_ok()
            })
            .await?;
            tokio::time::sleep(SETTLE).await;
            next_kill = load.done.load(Ordering::Relaxed) + plan.kill_every;
        }
        let _ = tokio::time::timeout(Duration::from_millis(20), callers.join_next()).await;
    }
    bar.finish_and_clear();
    system.hop.lose(0);
    // Everybody recovers by itself, and every report gets through.
    system.until_served().await.context("after the faults")?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    outcome.time = since.elapsed();
    outcome.cuts = system.hop.cuts();
    outcome.refused = load.refused.load(Ordering::Relaxed);
    outcome.wrong = load.wrong.load(Ordering::Relaxed);
    let ran = ran(&system.nginx.requests()?);
    let acknowledged = load.acknowledged.lock().await;
    outcome.acknowledged = acknowledged.len() as u64;
    outcome.run_twice = ran.values().filter(|&&times| times > 1).count() as u64;
    outcome.lost = acknowledged
        .iter()
        .filter(|id| !ran.contains_key(id))
        .count() as u64;
    outcome.false_collisions = system.collisions().await? as u64;
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

struct Load {
    base: String,
    next: AtomicU64,
    done: AtomicU64,
    refused: AtomicU64,
    wrong: AtomicU64,
    acknowledged: Mutex<Vec<u64>>,
    exchanges: u64,
}

/// Each call has a number of its own and is made once: what becomes of it is
/// Armour's business.
async fn call(load: Arc<Load>, http: reqwest::Client) {
    loop {
        let id = load.next.fetch_add(1, Ordering::Relaxed);
        if id >= load.exchanges {
            return;
        }
        // Every hundredth is an upload too large to be held, and so streamed.
        let upload = id % 100 == 99;
        let request = match upload {
            true => http
                .put(format!("{}/upload/faults?id={id}", load.base))
                .body(vec![id as u8; 400_000]),
            false => http.get(format!("{}/echo?id={id}", load.base)),
        };
        let answered = match request.send().await {
            Ok(answer) => {
                let served = answer.status().is_success();
                answer.text().await.ok().filter(|_| served)
            }
            Err(_) => None,
        };
        match answered {
            Some(body) => {
                if !upload && body != id.to_string() {
                    load.wrong.fetch_add(1, Ordering::Relaxed);
                }
                load.acknowledged.lock().await.push(id);
            }
            None => {
                load.refused.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        load.done.fetch_add(1, Ordering::Relaxed);
    }
}

/// How often the upstream ran each request.
fn ran(log: &str) -> HashMap<u64, u32> {
    let mut ran = HashMap::new();
    for line in log.lines() {
        let id = line
            .split(' ')
            .nth(1)
            .and_then(|target| target.split_once("id="))
            .and_then(|(_, id)| id.parse().ok());
        if let Some(id) = id {
            *ran.entry(id).or_default() += 1;
        }
    }
    ran
}

impl Outcome {
    /// Whether nothing happened that must not.
    pub fn is_clean(&self) -> bool {
        self.run_twice + self.lost + self.wrong + self.false_collisions == 0
            && self.recorded >= i64::try_from(self.acknowledged).unwrap_or(i64::MAX)
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kills = KINDS
            .iter()
            .zip(self.kills)
            .map(|(name, kills)| (format!("SIGKILL, {name}"), kills.to_string()));
        let lines = [
            ("acknowledged", self.acknowledged.to_string()),
            ("refused or outcome unknown", self.refused.to_string()),
            ("connections cut", self.cuts.to_string()),
            ("bundles drawn", self.bundles.to_string()),
            ("exchanges in the ledger", self.recorded.to_string()),
            ("run twice upstream", self.run_twice.to_string()),
            ("acknowledged and lost", self.lost.to_string()),
            ("wrong answers", self.wrong.to_string()),
            ("false collisions", self.false_collisions.to_string()),
            ("seconds", format!("{:.0}", self.time.as_secs_f64())),
        ];
        for (name, value) in kills.chain(lines.map(|(name, value)| (name.to_owned(), value))) {
            writeln!(f, "{name:28} {value:>10}")?;
        }
        Ok(())
    }
}
