//! Faults: how each begins and ends.

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpStream;

use crate::{
    network::Host,
    process::{Process, until},
    system::System,
};

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disturbance {
    Kill(Part),
    Pause(Part),
    Isolate(Part),
    PartAgents,
    Slow(Part),
    FullDisk,
    NoConnections,
    NoFiles(Part),
    CutDatabase,
}

/// What it happens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Consumer,
    Producer,
    ControlPlane,
    Postgres,
}

/// What has to be kept while a fault lasts: connections that nobody else can have.
pub type Held = Vec<TcpStream>;

use Disturbance::{
    CutDatabase, FullDisk, Isolate, Kill, NoConnections, NoFiles, PartAgents, Pause, Slow,
};
use Part::{Consumer, ControlPlane, Postgres, Producer};

/// All kinds.
pub const KINDS: [Disturbance; 21] = [
    Kill(Consumer),
    Kill(Producer),
    Kill(ControlPlane),
    Kill(Postgres),
    Pause(Consumer),
    Pause(Producer),
    Pause(ControlPlane),
    Pause(Postgres),
    Isolate(Consumer),
    Isolate(Producer),
    Isolate(ControlPlane),
    PartAgents,
    Slow(Consumer),
    Slow(Producer),
    Slow(ControlPlane),
    FullDisk,
    NoConnections,
    NoFiles(Consumer),
    NoFiles(Producer),
    NoFiles(ControlPlane),
    CutDatabase,
];

impl Disturbance {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Kill(Consumer) => "SIGKILL, consumer's agent",
            Kill(Producer) => "SIGKILL, producer's agent",
            Kill(ControlPlane) => "SIGKILL, a control plane",
            Kill(Postgres) => "SIGKILL, PostgreSQL",
            Pause(Consumer) => "paused, consumer's agent",
            Pause(Producer) => "paused, producer's agent",
            Pause(ControlPlane) => "paused, a control plane",
            Pause(Postgres) => "paused, PostgreSQL",
            Isolate(Consumer) => "cut off, consumer's host",
            Isolate(Producer) => "cut off, producer's host",
            Isolate(_) => "cut off, a control plane's host",
            PartAgents => "agents' hosts cut off from each other",
            Slow(Consumer) => "slow network, consumer's host",
            Slow(Producer) => "slow network, producer's host",
            Slow(_) => "slow network, a control plane's host",
            FullDisk => "PostgreSQL's disk full",
            NoConnections => "PostgreSQL's connections used up",
            NoFiles(Consumer) => "no more open files, consumer's agent",
            NoFiles(Producer) => "no more open files, producer's agent",
            NoFiles(_) => "no more open files, a control plane",
            CutDatabase => "connections to PostgreSQL cut at random",
        }
    }

    /// Whether two may happen at once. Two of one part would undo each other.
    pub fn may_join(self, other: Self) -> bool {
        self.part() != other.part()
    }

    fn part(self) -> Option<Part> {
        match self {
            Kill(part) | Pause(part) | Isolate(part) | Slow(part) | NoFiles(part) => Some(part),
            FullDisk | NoConnections | CutDatabase => Some(Postgres),
            PartAgents => Some(Consumer),
        }
    }

    /// Brings it about.
    ///
    /// # Errors
    /// If that cannot be done.
    pub async fn begin(self, system: &mut System, replica: usize) -> anyhow::Result<Held> {
        match self {
            Kill(Postgres) => system.postgres.crash().await?,
            Kill(part) => process(system, part, replica)?.crash().await?,
            Pause(Postgres) => signal_postgres(system, Signal::STOP)?,
            Pause(part) => signal_all(process(system, part, replica)?, Signal::STOP)?,
            Isolate(part) => network(system)?.isolate(host(part, replica), true)?,
            PartAgents => network(system)?.part_agents(true)?,
            Slow(part) => network(system)?.slow(host(part, replica), true)?,
            FullDisk => system.disk.as_ref().context("a disk")?.fill(true)?,
            NoConnections => return Ok(occupy(system.postgres.port()).await),
            NoFiles(part) => {
                // What is open stays; nothing more can be opened.
                let pid = process(system, part, replica)?
                    .pid()?
                    .as_raw_nonzero()
                    .get();
                let open = std::fs::read_dir(format!("/proc/{pid}/fd"))?.count();
                limit_files(pid, &open.to_string()).await?;
            }
            CutDatabase => system.database.lose(20_000),
        }
        Ok(Held::new())
    }

    /// Ends it.
    ///
    /// # Errors
    /// If that cannot be done.
    pub async fn end(self, system: &mut System, replica: usize, held: Held) -> anyhow::Result<()> {
        match self {
            Kill(_) => {}
            Pause(Postgres) => signal_postgres(system, Signal::CONT)?,
            Pause(part) => signal_all(process(system, part, replica)?, Signal::CONT)?,
            Isolate(part) => network(system)?.isolate(host(part, replica), false)?,
            PartAgents => network(system)?.part_agents(false)?,
            Slow(part) => network(system)?.slow(host(part, replica), false)?,
            FullDisk => {
                system.disk.as_ref().context("a disk")?.fill(false)?;
                // It ends itself where it cannot write ahead; its supervisor starts it.
                until("PostgreSQL, after its disk was full", || async {
                    let serves = system.postgres.sql("SELECT 1").await.is_ok();
                    if !serves {
                        let _ = system.postgres.launch().await;
                    }
                    serves
                })
                .await?;
            }
            NoConnections => drop(held),
            NoFiles(part) => {
                let pid = process(system, part, replica)?
                    .pid()?
                    .as_raw_nonzero()
                    .get();
                limit_files(pid, &most_files(pid)?).await?;
            }
            CutDatabase => system.database.lose(0),
        }
        Ok(())
    }
}

fn process(system: &mut System, part: Part, replica: usize) -> anyhow::Result<&mut Process> {
    match part {
        Consumer => Ok(&mut system.consumer),
        Producer => Ok(&mut system.producer),
        ControlPlane => system.control_planes.get_mut(replica).context("a replica"),
        Postgres => anyhow::bail!("PostgreSQL is started by its own tools"),
    }
}

fn host(part: Part, replica: usize) -> Host {
    match part {
        Consumer => Host::Consumer,
        Producer => Host::Producer,
        ControlPlane | Postgres => Host::ControlPlane(replica),
    }
}

fn network(system: &System) -> anyhow::Result<&crate::network::Network> {
    system.network.as_deref().context("hosts of their own")
}

/// A process and its children.
fn signal_all(process: &Process, signal: Signal) -> anyhow::Result<()> {
    signal_tree(process.pid()?, signal)
}

fn signal_postgres(system: &System, signal: Signal) -> anyhow::Result<()> {
    let pid = std::fs::read_to_string(system.postgres.data().join("postmaster.pid"))?;
    let pid = pid.lines().next().and_then(|line| line.parse().ok());
    signal_tree(
        pid.and_then(Pid::from_raw).context("postmaster.pid")?,
        signal,
    )
}

fn signal_tree(pid: Pid, signal: Signal) -> anyhow::Result<()> {
    kill_process(pid, signal)?;
    let tasks = std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero()))?;
    for task in tasks.flatten() {
        let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace() {
            if let Some(child) = child.parse().ok().and_then(Pid::from_raw) {
                // It may have ended meanwhile.
                let _ = kill_process(child, signal);
            }
        }
    }
    Ok(())
}

/// Connections to PostgreSQL, opened and left at that, as many as it takes.
async fn occupy(port: u16) -> Vec<TcpStream> {
    let mut held = Vec::new();
    for _ in 0..400 {
        match TcpStream::connect(("127.0.0.1", port)).await {
            Ok(stream) => held.push(stream),
            Err(_) => break,
        }
    }
    held
}

/// What its limit may be raised to.
fn most_files(pid: i32) -> anyhow::Result<String> {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits"))?;
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let most = line.and_then(|line| line.split_whitespace().nth(4));
    Ok(most.context("a limit")?.to_owned())
}

async fn limit_files(pid: i32, most: &str) -> anyhow::Result<()> {
    let status = tokio::process::Command::new("prlimit")
        .args(["--pid", &pid.to_string(), &format!("--nofile={most}:")])
        .status()
        .await?;
    anyhow::ensure!(status.success(), "prlimit: {status}");
    Ok(())
}
