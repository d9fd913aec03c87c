//! A second process that acts with a copy of the consumer's state.

use std::{path::Path, process::Stdio, time::Duration};

use anyhow::{Context as _, anyhow};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, UnixStream},
    process::{Child, Command},
};

use crate::servers::process::wait_until_listening;

/// A process that acts with stolen state; it ends when this is dropped.
pub(super) struct Thief {
    child: Child,
    /// Where it takes plain HTTP.
    pub address: String,
}

impl Thief {
    /// Copies the consumer's state and starts a second process on it.
    pub async fn steal(data: &Path) -> anyhow::Result<Self> {
        let folder = data.join("thief");
        std::fs::create_dir_all(&folder)?;
        let mut state = Vec::new();
        UnixStream::connect(data.join("consumer-state.sock"))
            .await
            .context("the consumer's state; is `armour dev` running?")?
            .read_to_end(&mut state)
            .await?;
        let file = folder.join("state");
        std::fs::write(&file, state)?;
        // A port that was free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
        let program = std::env::current_exe()?.with_file_name("armour-agent");
        let mut child = Command::new(program)
            .arg("clone")
            .arg("--state")
            .arg(&file)
            .arg("--data-dir")
            .arg(&folder)
            .args(["--listen", &address.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        wait_until_listening(&mut child, address, Duration::from_secs(2))
            .await
            .map_err(|_| anyhow!("the thief's process does not start"))?;
        Ok(Self {
            child,
            address: format!("http://{address}"),
        })
    }

    /// The process's number.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }
}
