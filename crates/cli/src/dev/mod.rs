//! `armour dev`: everything on this machine, on a data folder of its own:
//! PostgreSQL, a control plane, an upstream and the two agents of one pair.

mod environment;
mod explain;
mod programs;
mod secrets;
mod supervise;

use std::{
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use armour_ambient::Random;
use armour_client::Client;
use clap::Args;
use tokio_util::sync::CancellationToken;

pub use self::environment::{DevEnvironment, start_afresh};
use self::{secrets::secret, supervise::supervise};
use crate::servers::{nginx::Nginx, postgres::Postgres};
use crate::terminal::print_line;

/// Run PostgreSQL, a control plane, an upstream and two agents on this machine.
#[derive(Debug, Args)]
pub struct Dev {
    /// Where the control plane listens.
    #[arg(long, default_value = "127.0.0.1:7100")]
    listen: SocketAddr,
    /// Where the consumer's agent takes plain HTTP.
    #[arg(long, default_value = "127.0.0.1:7201")]
    consumer: SocketAddr,
    /// Where the producer's agent takes protected exchanges.
    #[arg(long, default_value = "127.0.0.1:7202")]
    producer: SocketAddr,
    /// The upstream's port.
    #[arg(long, default_value_t = 7280)]
    upstream_port: u16,
    /// The embedded PostgreSQL's port.
    #[arg(long, default_value_t = 7132)]
    postgres_port: u16,
    /// Serve metrics for Prometheus as well: the control plane's on the port after its
    /// own, each agent's ten ports after its own.
    #[arg(long)]
    metrics: bool,
    /// Folder of the console's built files.
    #[arg(long, env = "ARMOUR_CONSOLE_DIR", default_value = "web-console/dist")]
    console_dir: PathBuf,
}

impl Dev {
    /// Runs until SIGINT or SIGTERM.
    ///
    /// # Errors
    /// If a part does not start.
    pub async fn run(self, data: PathBuf, random: &Random) -> anyhow::Result<()> {
        std::fs::create_dir_all(&data)?;
        let data = data.canonicalize()?;
        // PostgreSQL's and nginx's users must be able to pass through.
        std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o711))?;
        say(&format!("data in {}", data.display()));
        say(&format!(
            "starting PostgreSQL on 127.0.0.1:{}",
            self.postgres_port
        ));
        let postgres = Postgres::start(&data.join("postgres"), self.postgres_port).await?;
        let served = self.serve(&data, &postgres, random).await;
        say("stopping");
        postgres.stop().await?;
        served
    }

    async fn serve(&self, data: &Path, postgres: &Postgres, random: &Random) -> anyhow::Result<()> {
        say(&format!(
            "starting nginx, the upstream, on 127.0.0.1:{}",
            self.upstream_port
        ));
        let nginx = Nginx::start(&data.join("upstream"), self.upstream_port).await?;
        let stop = CancellationToken::new();
        // The control plane ends last, so that agents can report what they did.
        let stop_control_plane = CancellationToken::new();
        let control_plane = tokio::spawn(supervise(
            "control plane",
            self.control_plane(data, postgres, random)?,
            stop_control_plane.clone(),
        ));
        let outcome = self.agents(data, &stop, random).await;
        stop_control_plane.cancel();
        let _ = control_plane.await;
        nginx.stop().await?;
        outcome
    }

    async fn agents(
        &self,
        data: &Path,
        stop: &CancellationToken,
        random: &Random,
    ) -> anyhow::Result<()> {
        let base = format!("http://{}", self.listen);
        let token = secret(&data.join("platform-token"), random)?;
        let platform = Client::new(&base, token)?;
        wait_ready(&platform).await?;
        let environment = DevEnvironment::open(data, &base, self.consumer, &platform).await?;
        let agents = [
            tokio::spawn(supervise(
                "producer's agent",
                self.producer(data, &base)?,
                stop.clone(),
            )),
            tokio::spawn(supervise(
                "consumer's agent",
                self.consumer(data, &base)?,
                stop.clone(),
            )),
        ];
        self.explain(data, &base, &environment);
        asked_to_stop().await;
        stop.cancel();
        for agent in agents {
            let _ = agent.await;
        }
        Ok(())
    }
}

fn say(text: &str) {
    // It goes on, whether anybody reads that or not.
    let _ = print_line!("armour dev: {text}");
}

async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    if let Ok(mut terminate) = signal(SignalKind::terminate()) {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    }
}

async fn wait_ready(client: &Client) -> anyhow::Result<()> {
    let ready = async {
        while client.ready().await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ready)
        .await
        .context("the control plane is not ready after 30 s")
}
