//! `armour dev`: everything on this machine, on a data folder of its own:
//! PostgreSQL, a control plane, an upstream and the two agents of one pair.

mod environment;
mod secrets;
mod supervise;

use std::{
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use armour_client::Client;
use clap::Args;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

pub use self::environment::DevEnvironment;
use self::{secrets::secret, supervise::supervise};
use crate::{nginx::Nginx, postgres::Postgres, user::is_root};

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

/// Where `armour dev` keeps its data.
#[derive(Debug, Clone, Args)]
pub struct DataFolder {
    /// Where data is kept; `/var/lib/armour` for root, `.armour` for others.
    #[arg(long, env = "ARMOUR_DATA_DIR", global = true)]
    data_dir: Option<PathBuf>,
}

impl DataFolder {
    /// The folder, whether given or by default.
    pub fn path(&self) -> PathBuf {
        let fallback = if is_root() {
            "/var/lib/armour"
        } else {
            ".armour"
        };
        self.data_dir.clone().unwrap_or_else(|| fallback.into())
    }
}

impl Dev {
    /// Runs until SIGINT or SIGTERM.
    ///
    /// # Errors
    /// If a part does not start.
    pub async fn run(self, data: PathBuf) -> anyhow::Result<()> {
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
        let served = self.serve(&data, &postgres).await;
        say("stopping");
        postgres.stop().await?;
        served
    }

    async fn serve(&self, data: &Path, postgres: &Postgres) -> anyhow::Result<()> {
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
            self.control_plane(data, postgres)?,
            stop_control_plane.clone(),
        ));
        let outcome = self.agents(data, &stop).await;
        stop_control_plane.cancel();
        let _ = control_plane.await;
        nginx.stop().await?;
        outcome
    }

    async fn agents(&self, data: &Path, stop: &CancellationToken) -> anyhow::Result<()> {
        let base = format!("http://{}", self.listen);
        let platform = Client::new(&base, secret(&data.join("platform-token"))?)?;
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

    fn control_plane(&self, data: &Path, postgres: &Postgres) -> anyhow::Result<Starter> {
        let keys = data.join("master-keys");
        std::fs::create_dir_all(&keys)?;
        secret(&keys.join("1"))?;
        secret(&data.join("platform-token"))?;
        let program = program("armour-control-plane")?;
        let console = self.console_dir.canonicalize().ok();
        if console.is_none() {
            say("no web console: build it with `make console`");
        }
        let (listen, data, url) = (self.listen, data.to_owned(), postgres.url());
        let metrics = self.metrics.then(|| beside(listen, 1)).transpose()?;
        Ok(Box::new(move || {
            let mut command = Command::new(&program);
            command
                .env("ARMOUR_LISTEN", listen.to_string())
                .env("ARMOUR_DATABASE_URL", &url)
                .env("ARMOUR_MASTER_KEYS_DIR", data.join("master-keys"))
                .env("ARMOUR_PLATFORM_TOKEN_FILE", data.join("platform-token"))
                .env("ARMOUR_MIGRATE", "true")
                // Issuers and webhooks of a trial are on this machine too.
                .env("ARMOUR_EGRESS_ALLOW", "127.0.0.0/8,::1/128")
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

    fn producer(&self, data: &Path, base: &str) -> anyhow::Result<Starter> {
        let (listen, upstream) = (self.producer, self.upstream_port);
        self.agent(data, base, "producer", listen, move |command| {
            command
                .args(["--listen", &listen.to_string()])
                .args(["--upstream", &format!("http://127.0.0.1:{upstream}")]);
        })
    }

    fn consumer(&self, data: &Path, base: &str) -> anyhow::Result<Starter> {
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

    fn explain(&self, data: &Path, base: &str, environment: &DevEnvironment) {
        let token = data.join("operator-token");
        let token = token.display();
        println!(
            "
Armour is up, for local use only.

  WARNING: whoever reads the data folder is the local operator, an administrator of
  the tenant \"dev\" and of the platform: no login, no TLS, and issuers and webhooks
  on this machine are allowed. Never let others reach these ports.

  console          {base}/  (sign in as the local operator with the token in {token})
  API              {base}/reference/
  protected calls  http://{consumer}/  ->  agents  ->  nginx on 127.0.0.1:{upstream}
  pair             {pair}

Try, in another terminal:
  curl http://{consumer}/
  curl -T README.md http://{consumer}/upload/readme && curl http://{consumer}/upload/readme
  target/debug/armour demo clone
  target/debug/armour pairs list
  target/debug/armour doctor
  target/debug/armour top

Ctrl-C stops everything.
",
            consumer = self.consumer,
            upstream = self.upstream_port,
            pair = environment.pair,
        );
    }
}

/// Makes the command of a process, each time it is started.
type Starter = Box<dyn Fn() -> Command + Send>;

/// An address so many ports after another.
fn beside(address: SocketAddr, ports: u16) -> anyhow::Result<SocketAddr> {
    let port = address.port().checked_add(ports);
    let port = port.context("no port is left for metrics")?;
    Ok(SocketAddr::new(address.ip(), port))
}

fn say(text: &str) {
    println!("armour dev: {text}");
}

fn program(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    if !path.exists() {
        bail!("{} is missing; `make run` builds it", path.display());
    }
    Ok(path)
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
