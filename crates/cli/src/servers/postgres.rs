//! An embedded PostgreSQL: Debian's server on a data folder of its own.

use std::{
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::process::Command;

use super::user::{command_as, ids_of, is_root};

/// A running server; [`Postgres::stop`] ends it.
pub struct Postgres {
    bin: PathBuf,
    data: PathBuf,
    port: u16,
}

/// How a control plane reaches its database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Urls {
    /// For the role that serves; it owns nothing.
    pub serving: String,
    /// For the role that owns the database and applies migrations.
    pub owner: String,
}

impl Urls {
    /// Of a database of such a server, by whatever address that is reached. What is between is
    /// this machine's own.
    pub fn at(address: &str, database: &str) -> Self {
        let url = |role| format!("postgres://{role}@{address}/{database}?sslmode=disable");
        Self {
            serving: url("armour_service"),
            owner: url("armour"),
        }
    }

    /// The environment of a control plane.
    pub fn environment(&self) -> [(&'static str, &str); 2] {
        [
            ("ARMOUR_DATABASE_URL", &self.serving),
            ("ARMOUR_DATABASE_OWNER_URL", &self.owner),
        ]
    }
}

impl Postgres {
    /// Starts the server on `folder`, which is made at the first start.
    ///
    /// # Errors
    /// If PostgreSQL is not installed or does not start; its log is named.
    pub async fn start(folder: &Path, port: u16) -> anyhow::Result<Self> {
        let server = Self::at(folder, port)?;
        if !server.data.exists() {
            server
                .tool("initdb", &["-A", "trust", "-U", "postgres", "-E", "UTF8"])
                .await?;
        }
        server.launch().await?;
        server.create_database().await?;
        Ok(server)
    }

    /// Kills the server with SIGKILL and starts it again, as a crash would.
    ///
    /// # Errors
    /// If it does not come back.
    pub async fn crash(&self) -> anyhow::Result<()> {
        let pid = std::fs::read_to_string(self.data.join("postmaster.pid"))?;
        let pid = pid.lines().next().and_then(|line| line.parse().ok());
        let pid = pid
            .and_then(rustix::process::Pid::from_raw)
            .context("postmaster.pid")?;
        rustix::process::kill_process(pid, rustix::process::Signal::KILL)?;
        // Until its children have seen it, their shared memory is in use.
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if self.launch().await.is_ok() {
                return Ok(());
            }
        }
        bail!("PostgreSQL does not come back after a crash")
    }

    /// Starts the server on the data that is there.
    ///
    /// # Errors
    /// If it does not start; its log is named.
    pub async fn launch(&self) -> anyhow::Result<()> {
        let folder = self.data.parent().context("a data folder")?;
        let log = folder.join("log");
        let options = format!(
            "-p {} -k {} -c listen_addresses=127.0.0.1 -c max_connections=200 -c wal_compression=lz4",
            self.port,
            folder.display()
        );
        let log_text = log.to_string_lossy();
        self.tool("pg_ctl", &["-w", "-l", &log_text, "-o", &options, "start"])
            .await
            .with_context(|| {
                let text = std::fs::read_to_string(&log).unwrap_or_default();
                let last: Vec<&str> = text.lines().rev().take(5).collect();
                let last: Vec<&str> = last.into_iter().rev().collect();
                format!(
                    "PostgreSQL does not start; {} ends with:\n{}",
                    log.display(),
                    last.join("\n")
                )
            })
            .map(drop)
    }

    /// A server whose data somebody else puts into `folder`; not started yet.
    ///
    /// # Errors
    /// If PostgreSQL is not installed.
    pub fn at(folder: &Path, port: u16) -> anyhow::Result<Self> {
        let server = Self {
            bin: find_bin()?,
            data: folder.join("data"),
            port,
        };
        std::fs::create_dir_all(folder)?;
        if is_root() {
            let (uid, gid) = ids_of("postgres")?;
            chown(folder, Some(uid), Some(gid))?;
        }
        Ok(server)
    }

    /// Where its data is.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The loopback port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The database's URLs.
    pub fn urls(&self) -> Urls {
        Urls::at(&format!("127.0.0.1:{}", self.port), "armour")
    }

    /// Stops the server once its clients' transactions are rolled back.
    ///
    /// # Errors
    /// If it does not stop.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.tool("pg_ctl", &["-w", "-m", "fast", "stop"])
            .await
            .map(drop)
    }

    /// Stops the server at once, whoever is connected.
    pub fn stop_now(&self) {
        if let Ok(text) = std::fs::read_to_string(self.data.join("postmaster.pid"))
            && let Some(pid) = text.lines().next().and_then(|line| line.parse().ok())
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
            // Its folder may be removed next.
            for _ in 0..100 {
                if rustix::process::test_kill_process(pid).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    async fn create_database(&self) -> anyhow::Result<()> {
        for role in ["armour", "armour_service"] {
            let asked = format!("SELECT 1 FROM pg_roles WHERE rolname = '{role}'");
            if self.sql(&asked).await?.trim().is_empty() {
                let create = format!("CREATE ROLE {role} LOGIN NOSUPERUSER NOBYPASSRLS");
                self.sql(&create).await?;
            }
        }
        let known = self
            .sql("SELECT 1 FROM pg_database WHERE datname = 'armour'")
            .await?;
        if known.trim().is_empty() {
            self.sql("CREATE DATABASE armour OWNER armour").await?;
        }
        Ok(())
    }

    /// Runs a statement as the superuser; what it prints.
    ///
    /// # Errors
    /// If the server refuses it.
    pub async fn sql(&self, statement: &str) -> anyhow::Result<String> {
        self.sql_in("postgres", statement).await
    }

    /// Runs a statement as the superuser in a database; what it prints.
    ///
    /// # Errors
    /// If the server refuses it.
    pub async fn sql_in(&self, database: &str, statement: &str) -> anyhow::Result<String> {
        let output = Command::new(self.bin.join("psql"))
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &self.port.to_string(),
                "-U",
                "postgres",
                "-d",
                database,
                "-Atc",
            ])
            .arg(statement)
            .output()
            .await?;
        checked("psql", output)
    }

    /// Runs one of PostgreSQL's programs on the server's data folder.
    ///
    /// # Errors
    /// If it fails, with what it says.
    pub async fn tool(&self, name: &str, arguments: &[&str]) -> anyhow::Result<String> {
        // PostgreSQL refuses to run as root.
        let mut command = command_as("postgres", self.bin.join(name));
        command
            .arg("-D")
            .arg(&self.data)
            .args(arguments)
            .current_dir("/")
            .stdin(Stdio::null());
        // The server inherits the tool's standard output, so it must not be a
        // pipe that somebody waits to see closed.
        if name == "pg_ctl" {
            let status = command
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .await?;
            return if status.success() {
                Ok(String::new())
            } else {
                bail!("pg_ctl: {status}")
            };
        }
        checked(name, command.output().await?)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop_now();
    }
}

fn find_bin() -> anyhow::Result<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .ok()
        .into_iter()
        .flatten()
        .flatten();
    versions
        .map(|entry| entry.path().join("bin"))
        .filter(|bin| bin.join("initdb").exists())
        .max()
        .context("PostgreSQL is not installed; `make setup` installs it")
}

fn checked(name: &str, output: Output) -> anyhow::Result<String> {
    if !output.status.success() {
        bail!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
