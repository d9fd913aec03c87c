//! The commands by which each program is started.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use armour_ambient::Random;
use tokio::process::Command;

use super::{Dev, say, secrets::secret};
use crate::servers::postgres::Postgres;

/// Makes the command of a process, each time it is started.
pub(super) type Starter = Box<dyn Fn() -> Command + Send>;

impl Dev {
    pub(super) fn control_plane(
        &self,
        data: &Path,
        postgres: &Postgres,
        random: &Random,
    ) -> anyhow::Result<Starter> {
        let keys = data.join("master-keys");
        std::fs::create_dir_all(&keys)?;
        secret(&keys.join("1"), random)?;
        secret(&data.join("platform-token"), random)?;
        let program = program("armour-control-plane")?;
        let console = self.console_dir.canonicalize().ok();
        if console.is_none() {
            say("no web console: build it with `make console`");
        }
        let (listen, data, urls) = (self.listen, data.to_owned(), postgres.urls());
        let metrics = self.metrics.then(|| beside(listen, 1)).transpose()?;
        Ok(Box::new(move || {
            let mut command = Command::new(&program);
            command
                .env("ARMOUR_LISTEN", listen.to_string())
                .envs(urls.environment())
                .env("ARMOUR_MASTER_KEYS_DIR", data.join("master-keys"))
                .env("ARMOUR_PLATFORM_TOKEN_FILE", data.join("platform-token"))
                .env("ARMOUR_MIGRATE", "true")
                // Issuers and webhooks of a trial are on this machine too.
                .env("ARMOUR_EGRESS_ALLOW_ISSUERS", "127.0.0.0/8,::1/128")
                .env("ARMOUR_EGRESS_ALLOW_WEBHOOKS", "127.0.0.0/8,::1/128")
                .env_remove("ARMOUR_CONSOLE_DIR");
            if let Some(metrics) = metrics {
                command.env("ARMOUR_METRICS_LISTEN", metrics.to_string());
            }
            if let Some(console) = &console {
                command.env("ARMOUR_CONSOLE_DIR", console);
            }
            command
        }))
    }

    pub(super) fn producer(&self, data: &Path, base: &str) -> anyhow::Result<Starter> {
        let (listen, upstream) = (self.producer, self.upstream_port);
        self.agent(data, base, "producer", listen, move |command| {
            command
                .args(["--listen", &listen.to_string()])
                .args(["--upstream", &format!("http://127.0.0.1:{upstream}")]);
        })
    }

    pub(super) fn consumer(&self, data: &Path, base: &str) -> anyhow::Result<Starter> {
        let listen = self.consumer;
        let socket = data.join("consumer-state.sock");
        self.agent(data, base, "consumer", listen, move |command| {
            command
                .args(["--listen", &listen.to_string()])
                // What `armour demo clone` takes its copy from.
                .arg("--insecure-export")
                .arg(&socket);
        })
    }

    fn agent(
        &self,
        data: &Path,
        base: &str,
        role: &'static str,
        listen: SocketAddr,
        rest: impl Fn(&mut Command) + Send + 'static,
    ) -> anyhow::Result<Starter> {
        let program = program("armour-agent")?;
        let (data, base) = (data.to_owned(), base.to_owned());
        let health = self.metrics.then(|| beside(listen, 10)).transpose()?;
        Ok(Box::new(move || {
            let mut command = Command::new(&program);
            command
                .arg(role)
                .args(["--control-plane", &base, "--name", role])
                .arg("--data-dir")
                .arg(data.join(role))
                .arg("--enrol-token-file")
                .arg(data.join(format!("{role}-enrolment")));
            if let Some(health) = health {
                command.args(["--health-listen", &health.to_string()]);
            }
            rest(&mut command);
            command
        }))
    }
}

/// An address so many ports after another.
fn beside(address: SocketAddr, ports: u16) -> anyhow::Result<SocketAddr> {
    let port = address.port().checked_add(ports);
    let port = port.context("no port is left for metrics")?;
    Ok(SocketAddr::new(address.ip(), port))
}

fn program(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    if !path.exists() {
        bail!("{} is missing; `make run` builds it", path.display());
    }
    Ok(path)
}
