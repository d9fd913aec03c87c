//! What all lives share: PostgreSQL, the upstream, and a control plane that nobody kills.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::Context as _;
use armour_cli::servers::{
    nginx::Nginx,
    postgres::{Postgres, Urls},
};
use armour_client::Client;
use tempfile::TempDir;
use tokio::process::Command;

use super::kill_at::KillAt;
use crate::{
    process::{Process, free_port, until},
    system::{PLATFORM, Setup, control_plane},
};

/// A file of the upstream's that is streamed: longer than what agents hold back whole.
pub const BIG: usize = 600_000;

/// What all lives share.
pub struct Stage {
    /// Kills programs at a write.
    pub(super) kill_at: KillAt,
    /// The upstream, and its port on 127.0.0.1.
    pub(super) nginx: Nginx,
    pub(super) upstream: u16,
    /// Where the control plane is that nobody kills.
    pub(super) control: String,
    setup: Setup,
    postgres: Postgres,
    _control_plane: Process,
    number: AtomicU32,
    dir: TempDir,
}

impl Stage {
    /// Starts it.
    ///
    /// # Errors
    /// If a part does not start; `Unsupported`.
    pub async fn start() -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("armour-e2e").tempdir()?;
        // PostgreSQL's and nginx's users must be able to pass through.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711))?;
        let at = dir.path();
        let kill_at = KillAt::build(at).await?;
        let postgres = Postgres::start(&at.join("postgres"), free_port()?).await?;
        let upstream = free_port()?;
        let nginx = Nginx::start(&at.join("upstream"), upstream).await?;
        std::fs::write(nginx.www().join("big"), big())?;
        std::fs::write(at.join("master-key"), "5a".repeat(32))?;
        std::fs::write(at.join("platform-token"), PLATFORM)?;
        let setup = Setup::default();
        // The tables are made once, and copied for every control plane that is killed.
        let listen = format!("127.0.0.1:{}", free_port()?);
        let log = at.join("control-plane.log");
        let command = control_plane(at, &setup, &None, 0, &listen, &postgres.urls())?;
        let mut process = Process::start("control plane", log, command)?;
        let control = format!("http://{listen}");
        until_ready(&Client::new(&control, PLATFORM)?).await?;
        process.stop().await?;
        postgres
            .sql("CREATE DATABASE made TEMPLATE armour OWNER armour")
            .await?;
        process.start_again()?;
        until_ready(&Client::new(&control, PLATFORM)?).await?;
        Ok(Self {
            kill_at,
            nginx,
            upstream,
            control,
            setup,
            postgres,
            _control_plane: process,
            number: AtomicU32::new(0),
            dir,
        })
    }

    /// A folder for one life.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(super) fn folder(&self) -> anyhow::Result<PathBuf> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let folder = self.dir.path().join(format!("life-{number}"));
        std::fs::create_dir(&folder)?;
        Ok(folder)
    }

    /// A control plane of one's own, with a database of its own: where it is, and how it is
    /// started.
    ///
    /// # Errors
    /// If the database cannot be made.
    pub(super) async fn control_plane(
        &self,
        folder: &Path,
    ) -> anyhow::Result<(String, impl Fn() -> Command + Send + Sync + 'static)> {
        let name = folder.file_name().context("a life's folder")?;
        let name = name.to_string_lossy().replace('-', "_");
        let statement = format!("CREATE DATABASE {name} TEMPLATE made OWNER armour");
        self.postgres.sql(&statement).await?;
        let urls = Urls::at(&format!("127.0.0.1:{}", self.postgres.port()), &name);
        let listen = format!("127.0.0.1:{}", free_port()?);
        let at = self.dir.path();
        let command = control_plane(at, &self.setup, &None, 0, &listen, &urls)?;
        Ok((format!("http://{listen}"), command))
    }
}

/// Waits until a control plane serves.
///
/// # Errors
/// If it does not.
pub async fn until_ready(control_plane: &Client) -> anyhow::Result<()> {
    until("the control plane", || async {
        control_plane.ready().await.is_ok()
    })
    .await
}

/// What is in the big file.
pub fn big() -> Vec<u8> {
    (0..BIG).map(|at| (at % 251) as u8).collect()
}
