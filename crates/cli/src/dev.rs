//! `armour dev`: everything on this machine, on a data folder of its own.

use std::{
    io::Write,
    net::SocketAddr,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use armour_client::Client;
use clap::Args;
use rand::Rng;
use tokio::process::{Child, Command};

use crate::postgres::Postgres;

/// Run an embedded PostgreSQL and a control plane on this machine.
#[derive(Debug, Args)]
pub struct Dev {
    /// Where data is kept; `/var/lib/armour` for root, `.armour` for others.
    #[arg(long, env = "ARMOUR_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Where the control plane listens.
    #[arg(long, default_value = "127.0.0.1:7100")]
    listen: SocketAddr,
    /// The embedded PostgreSQL's port.
    #[arg(long, default_value_t = 7132)]
    postgres_port: u16,
}

impl Dev {
    /// Runs until SIGINT or SIGTERM.
    ///
    /// # Errors
    /// If a part does not start.
    pub async fn run(self) -> anyhow::Result<()> {
        let root = rustix::process::geteuid().is_root();
        let fallback = if root { "/var/lib/armour" } else { ".armour" };
        let data = self.data_dir.clone().unwrap_or_else(|| fallback.into());
        std::fs::create_dir_all(&data)?;
        let data = data.canonicalize()?;
        // PostgreSQL's user must be able to pass through.
        std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o711))?;
        println!("armour dev: data in {}", data.display());
        println!(
            "armour dev: starting PostgreSQL on 127.0.0.1:{}",
            self.postgres_port
        );
        let postgres = Postgres::start(&data.join("postgres"), self.postgres_port).await?;
        let served = self.serve(&data, &postgres).await;
        println!("armour dev: stopping");
        postgres.stop().await?;
        served
    }

    async fn serve(&self, data: &Path, postgres: &Postgres) -> anyhow::Result<()> {
        secret(&data.join("master-key"))?;
        let platform = secret(&data.join("platform-token"))?;
        let program = std::env::current_exe()?.with_file_name("armour-control-plane");
        let mut control_plane = Command::new(&program)
            .env("ARMOUR_LISTEN", self.listen.to_string())
            .env("ARMOUR_DATABASE_URL", postgres.url())
            .env("ARMOUR_MASTER_KEY_FILE", data.join("master-key"))
            .env("ARMOUR_PLATFORM_TOKEN_FILE", data.join("platform-token"))
            .env("ARMOUR_MIGRATE", "true")
            .kill_on_drop(true)
            // Its own group: Ctrl-C reaches us, and we let it drain.
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let base = format!("http://{}", self.listen);
        let client = Client::new(&base, platform)?;
        wait_ready(&client, &mut control_plane).await?;
        let token_file = data.join("operator-token");
        if !token_file.exists() {
            let created = client.create_tenant("dev").await?;
            write_secret(&token_file, &created.token)?;
        }
        println!(
            "armour dev: control plane at {base}; the API is described at {base}/v1/openapi.json"
        );
        println!("armour dev: LOCAL USE ONLY; the operator's token of the tenant `dev` is in");
        println!("            {}", token_file.display());
        println!(
            "  curl -H \"Authorization: Bearer $(cat {})\" {base}/v1/audit",
            token_file.display()
        );
        println!("armour dev: Ctrl-C stops everything");
        tokio::select! {
            status = control_plane.wait() => bail!("the control plane ended: {}", status?),
            () = asked_to_stop() => {}
        }
        if let Some(pid) = control_plane.id().and_then(|id| i32::try_from(id).ok())
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        }
        let drained = tokio::time::timeout(Duration::from_secs(15), control_plane.wait()).await;
        if drained.is_err() {
            control_plane.kill().await?;
        }
        Ok(())
    }
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

async fn wait_ready(client: &Client, control_plane: &mut Child) -> anyhow::Result<()> {
    for _ in 0..300 {
        if let Some(status) = control_plane.try_wait()? {
            bail!("the control plane ended: {status}");
        }
        if client.ready().await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("the control plane is not ready after 30 s")
}

/// Reads a secret of 64 hexadecimal digits, made at the first call.
fn secret(path: &Path) -> anyhow::Result<String> {
    if !path.exists() {
        let mut bytes = [0u8; 32];
        rand::rng().fill_bytes(&mut bytes);
        write_secret(path, &hex::encode(bytes))?;
    }
    Ok(std::fs::read_to_string(path)?)
}

fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}
