//! Calls without any right credentials, at a rate.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

/// How often a connection sends its part of the rate.
const EVERY: Duration = Duration::from_millis(100);

/// How much.
#[derive(Debug, Clone, clap::Args, Serialize, Deserialize)]
pub struct Rate {
    /// Calls a second without right credentials, offered in a phase of their own; 0 for none.
    #[arg(long, default_value_t = 30_000)]
    flood: u64,
    /// Connections that they come by. Half of them are kept; the others are made anew for each
    /// part of the rate.
    #[arg(long, default_value_t = 64)]
    flood_connections: u64,
}

/// Where it goes.
#[derive(Serialize, Deserialize)]
pub struct Orders {
    pub base: String,
    pub rate: Rate,
}

/// Callers that go on until they are ended.
pub struct Flood {
    tasks: JoinSet<()>,
    counts: Arc<Counts>,
}

/// What came of them.
#[derive(Serialize, Deserialize)]
pub struct Outcome {
    pub offered: u64,
    pub answered: u64,
    pub refused: u64,
}

#[derive(Default)]
struct Counts {
    offered: AtomicU64,
    answered: AtomicU64,
    refused: AtomicU64,
}

impl Rate {
    /// Whether there is any.
    pub fn is_any(&self) -> bool {
        self.flood > 0
    }
}

impl Flood {
    /// Begins.
    pub fn start(Orders { base, rate: plan }: &Orders) -> Self {
        let host = base.trim_start_matches("http://").to_owned();
        let (mut tasks, counts) = (JoinSet::new(), Arc::new(Counts::default()));
        let connections = plan.flood_connections.max(1);
        let each = (plan.flood * EVERY.as_millis() as u64 / 1000).div_ceil(connections);
        for at in 0..connections {
            let (host, counts) = (host.clone(), counts.clone());
            tasks.spawn(async move {
                let is_kept = at % 2 == 0;
                let mut made_up = at << 32;
                let mut due = interval(EVERY);
                due.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    due.tick().await;
                    let sends = caller(&host, &counts, (each, is_kept), &mut made_up, &mut due);
                    // A connection that breaks, or is not let in, is made anew.
                    let _broken = sends.await;
                }
            });
        }
        Self { tasks, counts }
    }

    /// Ends.
    pub async fn end(mut self) -> Outcome {
        self.tasks.shutdown().await;
        Outcome {
            offered: self.counts.offered.load(Ordering::Relaxed),
            answered: self.counts.answered.load(Ordering::Relaxed),
            refused: self.counts.refused.load(Ordering::Relaxed),
        }
    }
}

/// One connection: sends its part again and again, or once, whether or not there are answers.
async fn caller(
    host: &str,
    counts: &Counts,
    (each, is_kept): (u64, bool),
    made_up: &mut u64,
    due: &mut tokio::time::Interval,
) -> std::io::Result<()> {
    let stream = TcpStream::connect(host).await?;
    let (mut reads, mut writes) = stream.into_split();
    let answers = async {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let length = reads.read(&mut buffer).await?;
            if length == 0 {
                return Ok::<(), std::io::Error>(());
            }
            let text = &buffer[..length];
            let count = |what: &[u8]| text.windows(what.len()).filter(|at| *at == what).count();
            let (all, refused) = (count(b"HTTP/1.1 "), count(b"HTTP/1.1 429"));
            counts.answered.fetch_add(all as u64, Ordering::Relaxed);
            counts.refused.fetch_add(refused as u64, Ordering::Relaxed);
        }
    };
    let calls = async {
        loop {
            let mut part = String::new();
            for _ in 0..each {
                *made_up += 1;
                // Another credential each time.
                part += &format!(
                    "GET /v1/pairs HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {made_up}\r\n\r\n"
                );
            }
            counts.offered.fetch_add(each, Ordering::Relaxed);
            writes.write_all(part.as_bytes()).await?;
            due.tick().await;
            if !is_kept {
                return Ok::<(), std::io::Error>(());
            }
        }
    };
    tokio::select! {
        ended = answers => ended,
        ended = calls => ended,
    }
}
