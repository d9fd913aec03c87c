//! Callers that each make numbered calls, once: what becomes of a call is Armour's
//! business.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::Utc;
use tokio::{sync::Mutex, task::JoinSet};

use crate::{
    deadlines::{self, Deadlines, End, Seen},
    process::until,
    system::System,
};

/// How long a caller waits after a first refusal, and at most after more.
const PAUSE: Duration = Duration::from_millis(20);
const MAX_PAUSE: Duration = Duration::from_millis(640);
/// How many refusals are printed.
const FIRST_REFUSALS: u64 = 10;

/// Callers at work.
pub struct Load {
    shared: Arc<Shared>,
    callers: JoinSet<()>,
}

struct Shared {
    base: String,
    next: AtomicU64,
    done: AtomicU64,
    refused: AtomicU64,
    wrong: AtomicU64,
    acknowledged: Mutex<Vec<u64>>,
    /// How many calls to make.
    calls: AtomicU64,
    /// In microseconds.
    slowest: AtomicU64,
    /// By when calls may begin, and the calls as their callers saw them: if that is counted.
    deadlines: Option<Deadlines>,
    seen: Mutex<Vec<Seen>>,
}

/// What became of the calls.
#[derive(Debug, Default)]
pub struct Tally {
    /// Calls made.
    pub sent: u64,
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
    /// Calls that the upstream began after their deadline; `None` if that was not counted.
    pub begun_late: Option<u64>,
    /// Collisions; nobody stole anything, so each is a false one.
    pub false_collisions: u64,
    /// The longest that a caller waited.
    pub slowest: Duration,
}

impl Load {
    /// Starts so many callers for so many calls.
    pub fn start(system: &System, callers: usize, calls: u64) -> Self {
        Self::start_with(system, callers, calls, None)
    }

    /// The same, and counts calls that begin after their deadline.
    pub fn start_with(
        system: &System,
        callers: usize,
        calls: u64,
        deadlines: Option<Deadlines>,
    ) -> Self {
        let shared = Arc::new(Shared {
            base: system.base.clone(),
            next: AtomicU64::new(0),
            done: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            wrong: AtomicU64::new(0),
            acknowledged: Mutex::default(),
            calls: AtomicU64::new(calls),
            slowest: AtomicU64::new(0),
            deadlines,
            seen: Mutex::default(),
        });
        let mut set = JoinSet::new();
        for _ in 0..callers {
            set.spawn(call(shared.clone(), system.http.clone()));
        }
        Self {
            shared,
            callers: set,
        }
    }

    /// How many calls are done.
    pub fn done(&self) -> u64 {
        self.shared.done.load(Ordering::Relaxed)
    }

    /// Whether callers are still at work; waits a moment.
    pub async fn goes_on(&mut self) -> bool {
        let _ = tokio::time::timeout(Duration::from_millis(20), self.callers.join_next()).await;
        !self.callers.is_empty()
    }

    /// Waits until so many more calls are done.
    pub async fn more(&mut self, calls: u64) {
        let enough = self.done() + calls;
        while self.done() < enough && self.goes_on().await {}
    }

    /// Has the callers finish the calls they are at, and counts.
    ///
    /// # Errors
    /// If the upstream's log or the ledger cannot be read.
    pub async fn finish(mut self, system: &System) -> anyhow::Result<Tally> {
        self.shared.calls.store(0, Ordering::Relaxed);
        while self.callers.join_next().await.is_some() {}
        let acknowledged = self.shared.acknowledged.lock().await;
        // nginx writes a request down once it has been answered.
        let written = until("the upstream's log", || async {
            let log = system.nginx.requests().unwrap_or_default();
            let ran = ran(&log);
            acknowledged.iter().all(|id| ran.contains_key(id))
        });
        // Where it never does, the call was lost.
        let _ = written.await;
        let log = system.nginx.requests()?;
        let ran = ran(&log);
        let seen = self.shared.seen.lock().await;
        let late = self.shared.deadlines.map(|deadlines| {
            let late = deadlines.begun_late(&seen, &deadlines::begun(&log));
            for (id, by) in &late {
                eprintln!("call {id} began {} ms too late", by.num_milliseconds());
            }
            late.len() as u64
        });
        Ok(Tally {
            sent: self.done(),
            acknowledged: acknowledged.len() as u64,
            refused: self.shared.refused.load(Ordering::Relaxed),
            run_twice: ran.values().filter(|&&times| times > 1).count() as u64,
            lost: acknowledged
                .iter()
                .filter(|id| !ran.contains_key(id))
                .count() as u64,
            wrong: self.shared.wrong.load(Ordering::Relaxed),
            begun_late: late,
            false_collisions: system.collisions().await? as u64,
            slowest: Duration::from_micros(self.shared.slowest.load(Ordering::Relaxed)),
        })
    }
}

impl Shared {
    /// Says why a call was refused, of the first few.
    fn refusal(&self, id: u64, why: &str) {
        if self.refused.fetch_add(1, Ordering::Relaxed) < FIRST_REFUSALS {
            eprintln!("call {id}: {}", why.trim());
        }
    }
}

async fn call(load: Arc<Shared>, http: reqwest::Client) {
    let mut pause = PAUSE;
    loop {
        let id = load.next.fetch_add(1, Ordering::Relaxed);
        if id >= load.calls.load(Ordering::Relaxed) {
            return;
        }
        // Every hundredth is an upload too large to be held, and so streamed.
        let upload = id % 100 == 99;
        let request = match upload {
            true => http
                .put(format!("{}/upload/faults?id={id}", load.base))
                .body(vec![id as u8; 400_000]),
            // Not safe, nor idempotent: it may run once at most.
            false => http.post(format!("{}/echo?id={id}", load.base)),
        };
        let (since, sent) = (Instant::now(), Utc::now());
        let (end, answered) = match request.send().await {
            Ok(answer) => {
                let served = answer.status().is_success();
                match answer.text().await {
                    Ok(body) if served => (End::Answered, Some(body)),
                    Ok(body) => {
                        load.refusal(id, &body);
                        (End::Refused, None)
                    }
                    Err(error) => {
                        load.refusal(id, &format!("{error:#}"));
                        (End::Broken, None)
                    }
                }
            }
            Err(error) => {
                load.refusal(id, &format!("{error:#}"));
                (End::Broken, None)
            }
        };
        if load.deadlines.is_some() {
            let ended = Utc::now();
            load.seen.lock().await.push(Seen {
                id,
                sent,
                ended,
                end,
            });
        }
        let took = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
        load.slowest.fetch_max(took, Ordering::Relaxed);
        match answered {
            Some(body) => {
                if !upload && body != id.to_string() {
                    load.wrong.fetch_add(1, Ordering::Relaxed);
                }
                load.acknowledged.lock().await.push(id);
                pause = PAUSE;
            }
            None => {
                // How many calls an outage costs is not to depend on how long it lasts.
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(MAX_PAUSE);
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

impl Tally {
    /// Whether nothing happened that must not, refusals apart.
    pub fn is_clean(&self) -> bool {
        let late = self.begun_late.unwrap_or(0);
        self.run_twice + self.lost + self.wrong + self.false_collisions + late == 0
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lines = [
            ("exchanges sent", self.sent.to_string()),
            ("acknowledged", self.acknowledged.to_string()),
            ("refused or outcome unknown", self.refused.to_string()),
            ("run twice upstream", self.run_twice.to_string()),
            ("acknowledged and lost", self.lost.to_string()),
            ("wrong answers", self.wrong.to_string()),
            ("false collisions", self.false_collisions.to_string()),
            (
                "longest wait, milliseconds",
                self.slowest.as_millis().to_string(),
            ),
        ];
        for (name, value) in lines {
            writeln!(f, "{name:28} {value:>10}")?;
        }
        if let Some(late) = self.begun_late {
            writeln!(f, "{:28} {late:>10}", "begun after their deadline")?;
        }
        Ok(())
    }
}
