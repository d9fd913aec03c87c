//! Kills a program at its n-th write: `kill_at.c`, compiled where it is used, since Rust
//! here has no unsafe code.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tokio::process::Command;

/// The kernel, or a container, does not tell of system calls.
#[derive(Debug, thiserror::Error)]
#[error("system calls cannot be stopped here: {0}")]
pub struct Unsupported(String);

/// The compiled program.
#[derive(Debug, Clone)]
pub struct KillAt(PathBuf);

/// Where it writes down how far it has counted.
#[derive(Debug, Clone)]
pub struct Record(PathBuf);

impl KillAt {
    /// Compiles it into a folder, and tries it.
    ///
    /// # Errors
    /// [`Unsupported`]; if there is no C compiler.
    pub async fn build(folder: &Path) -> anyhow::Result<Self> {
        let (source, program) = (folder.join("kill_at.c"), folder.join("kill-at"));
        std::fs::write(&source, include_str!("kill_at.c"))?;
        let mut compiler = Command::new("cc");
        compiler.args(["-O1", "-Wall", "-Wextra", "-Werror", "-o"]);
        let built = compiler.arg(&program).arg(&source).output().await;
        let built = built.context("cc, of build-essential")?;
        if !built.status.success() {
            bail!("kill_at.c: {}", String::from_utf8_lossy(&built.stderr));
        }
        let record = Record(folder.join("tried"));
        let mut trial = Command::new(&program);
        trial.args(["all", "1"]).arg(&record.0);
        trial.arg("mkdir").arg(folder.join("never"));
        let tried = trial.output().await?;
        if tried.status.code() == Some(125) {
            let why = String::from_utf8_lossy(&tried.stderr);
            return Err(Unsupported(why.trim().to_owned()).into());
        }
        if record.killed().is_none() || folder.join("never").exists() {
            bail!("kill-at kills nobody");
        }
        Ok(Self(program))
    }

    /// The same command, killed at its n-th write unless it has been killed before.
    pub fn wrap(&self, who: &str, n: u64, record: &Record, command: Command) -> Command {
        if record.killed().is_some() {
            return command;
        }
        let inner = command.as_std();
        let mut wrapped = Command::new(&self.0);
        wrapped.arg(who).arg(n.to_string()).arg(&record.0);
        wrapped.arg(inner.get_program()).args(inner.get_args());
        for (name, value) in inner.get_envs() {
            match value {
                Some(value) => wrapped.env(name, value),
                None => wrapped.env_remove(name),
            };
        }
        wrapped
    }
}

impl Record {
    /// In this folder.
    pub fn of(folder: &Path) -> Self {
        Self(folder.join("writes"))
    }

    /// How many writes were counted.
    pub fn writes(&self) -> u64 {
        let text = self.text();
        let count = text.split_whitespace().next();
        count.and_then(|count| count.parse().ok()).unwrap_or(0)
    }

    /// What was killed, if it was.
    pub fn killed(&self) -> Option<String> {
        let text = self.text();
        text.split_once("killed: ")
            .map(|(_, at)| at.trim().to_owned())
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.0).unwrap_or_default()
    }
}
