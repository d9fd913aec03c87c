//! A process that can be killed and started again.

use std::{
    collections::BTreeSet,
    fs::File,
    net::TcpListener,
    path::PathBuf,
    process::Stdio,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, bail};
use rand::RngExt;
use rustix::process::Signal;
use tokio::process::{Child, Command};

/// A program of this workspace, running.
pub struct Process {
    name: &'static str,
    command: Box<dyn Fn() -> Command + Send + Sync>,
    log: PathBuf,
    child: Child,
    /// How long the log was before this process wrote to it, in bytes.
    written_before: usize,
}

impl Process {
    /// Starts it; its output goes to `log`.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(
        name: &'static str,
        log: PathBuf,
        command: impl Fn() -> Command + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let written_before = std::fs::read(&log).map_or(0, |log| log.len());
        let child = spawn(&command, &log)?;
        Ok(Self {
            name,
            command: Box::new(command),
            log,
            child,
            written_before,
        })
    }

    /// Kills it with SIGKILL and starts it again.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn crash(&mut self) -> anyhow::Result<()> {
        self.child.kill().await?;
        self.start_again()
    }

    /// Kills it with SIGKILL; it is not started again.
    ///
    /// # Errors
    /// If it cannot be killed.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Waits until it has ended by itself, as an agent does that may not go on.
    ///
    /// # Errors
    /// If it does not end.
    pub async fn until_ended(&mut self) -> anyhow::Result<()> {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended.with_context(|| format!("{} does not end", self.name))??;
        Ok(())
    }

    /// Waits until it serves nothing for good, and ends it then: an agent whose endpoint has ended
    /// stays out, and one that cannot enrol ends by itself.
    ///
    /// # Errors
    /// If it goes on.
    pub async fn until_out(&mut self) -> anyhow::Result<()> {
        let out = async {
            while !self.has_ended()? {
                let log = std::fs::read(&self.log)?;
                let own = String::from_utf8_lossy(log.get(self.written_before..).unwrap_or(&[]));
                if own.contains("STAYS OUT") {
                    return self.stop().await;
                }
                tokio::time::sleep(LOOK).await;
            }
            Ok(())
        };
        let out = tokio::time::timeout(PATIENCE, out).await;
        out.with_context(|| format!("{} goes on", self.name))?
    }

    /// Whether it has ended.
    ///
    /// # Errors
    /// If the system cannot be asked.
    pub fn has_ended(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Starts it again after it has ended.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        self.written_before = std::fs::read(&self.log).map_or(0, |log| log.len());
        self.child = spawn(&self.command, &self.log)?;
        Ok(())
    }

    /// Stops it with SIGTERM, waits until it has ended by itself and starts it again.
    ///
    /// # Errors
    /// If it does not end cleanly, or does not start.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.stop().await?;
        self.start_again()
    }

    /// Stops it with SIGTERM and waits until it has ended by itself.
    ///
    /// # Errors
    /// If it does not end cleanly.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)?;
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status = ended.with_context(|| format!("{} does not end", self.name))??;
        if !status.success() {
            bail!("{} ended with {status}", self.name);
        }
        Ok(())
    }

    /// What to start from the next time on.
    pub fn replace(&mut self, command: impl Fn() -> Command + Send + Sync + 'static) {
        self.command = Box::new(command);
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// If it is gone.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.pid()?;
        Ok(rustix::process::kill_process(pid, signal)?)
    }

    /// Its process id.
    ///
    /// # Errors
    /// If it is gone.
    pub fn pid(&self) -> anyhow::Result<rustix::process::Pid> {
        self.child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(rustix::process::Pid::from_raw)
            .with_context(|| format!("{} is gone", self.name))
    }

    /// The most memory it has had resident, in bytes.
    ///
    /// # Errors
    /// If it is gone.
    pub fn peak_memory(&self) -> anyhow::Result<u64> {
        memory_of(self.pid()?.as_raw_nonzero().get(), "VmHWM:")
    }

    /// What it and its children have resident now, in bytes.
    ///
    /// # Errors
    /// If it is gone.
    pub fn memory(&self) -> anyhow::Result<u64> {
        self.memory_of_all("VmRSS:")
    }

    /// The most that it has had resident and that its children have, in bytes; at different
    /// times, perhaps.
    ///
    /// # Errors
    /// If it is gone.
    pub fn peak_memory_of_all(&self) -> anyhow::Result<u64> {
        self.memory_of_all("VmHWM:")
    }

    fn memory_of_all(&self, field: &str) -> anyhow::Result<u64> {
        let pid = self.pid()?.as_raw_nonzero().get();
        let mut sum = memory_of(pid, field)?;
        // Children of any thread.
        for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
            let children = std::fs::read_to_string(task?.path().join("children"))?;
            for child in children.split_whitespace() {
                sum += memory_of(child.parse()?, field)?;
            }
        }
        Ok(sum)
    }

    /// What it has written.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn log(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(&self.log)?)
    }
}

fn memory_of(pid: i32, field: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .with_context(|| format!("no {field}"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}

fn spawn(command: &dyn Fn() -> Command, log: &PathBuf) -> anyhow::Result<Child> {
    let out = File::options().create(true).append(true).open(log)?;
    command()
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out)
        .kill_on_drop(true)
        .spawn()
        .context("start a process")
}

/// A program built from this workspace.
///
/// # Errors
/// If it has not been built.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let mut folder = std::env::current_exe()?;
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let path = folder.join(name);
    if !path.exists() {
        bail!("{} is not built; use `make test`", path.display());
    }
    Ok(path)
}

/// Whether a program's help for a command names an option; a later version may do without it.
///
/// # Errors
/// If the program cannot be run.
pub fn knows(program: &std::path::Path, command: &str, option: &str) -> anyhow::Result<bool> {
    let output = std::process::Command::new(program)
        .args([command, "--help"])
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).contains(option))
}

/// A port that is free, below those that the kernel gives to connections that go out
/// (32768 and up): none of them takes it meanwhile, and nor does another test of this
/// process.
///
/// # Errors
/// If there is none.
pub fn free_port() -> anyhow::Result<u16> {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    (0..1000)
        .map(|_| rand::rng().random_range(20_000..32_000))
        .find(|port| !given.contains(port) && TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .inspect(|port| {
            given.insert(*port);
        })
        .context("no port is free")
}

/// How long anything may take that is waited for, on a machine that has other things to do:
/// no test passes or fails by how long it does take.
const PATIENCE: Duration = Duration::from_secs(180);
/// How often a log is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Waits until `ready` says so.
///
/// # Errors
/// If it does not, however long it is waited for.
pub async fn until<F: Future<Output = bool>>(
    what: &str,
    ready: impl Fn() -> F,
) -> anyhow::Result<()> {
    let wait = async {
        while !ready().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .with_context(|| format!("{what}: not within {PATIENCE:?}"))
}
