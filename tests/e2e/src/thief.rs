//! A thief with a copy of a live consumer's state, or of its disk.

use std::path::Path;

use anyhow::Context as _;
use tokio::{
    io::AsyncReadExt,
    net::{TcpStream, UnixStream},
    process::Command,
};

use crate::{
    process::{Process, free_port, program, until},
    system::System,
};

/// A second process in the consumer's name; killed when dropped.
pub struct Thief {
    /// Where it takes the thief's plain HTTP.
    pub base: String,
    _process: Process,
}

/// Copies the memory of the consumer's enclave: keys and idle lanes. The system was set
/// up with `exports`.
///
/// # Errors
/// If the state is not handed out, or the thief does not start.
pub async fn steal_memory(system: &System, name: &str) -> anyhow::Result<Thief> {
    let mut socket = UnixStream::connect(system.folder().join("export.sock")).await?;
    let mut state = Vec::new();
    socket.read_to_end(&mut state).await?;
    let folder = system.folder().join(name);
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("stolen.json");
    std::fs::write(&file, state)?;
    let data = folder.join("data");
    start(&folder, move |listen| {
        let mut command = Command::new(program("armour-agent").unwrap_or_default());
        command
            .arg("clone")
            .arg("--state")
            .arg(&file)
            .arg("--data-dir")
            .arg(&data)
            .args(["--listen", listen]);
        command
    })
    .await
}

/// Copies the consumer's data folder: its keys and who it is. The thief is a whole agent.
///
/// # Errors
/// If the folder cannot be copied, or the thief does not start.
pub async fn steal_disk(system: &System, name: &str) -> anyhow::Result<Thief> {
    let folder = system.folder().join(name);
    let data = folder.join("data");
    std::fs::create_dir_all(&data)?;
    for file in std::fs::read_dir(system.folder().join("consumer"))? {
        let file = file?;
        if file.file_type()?.is_file() {
            std::fs::copy(file.path(), data.join(file.file_name()))?;
        }
    }
    let (control, via) = (system.control.clone(), system.producer_address);
    start(&folder, move |listen| {
        let mut command = Command::new(program("armour-agent").unwrap_or_default());
        command
            .args(["consumer", "--control-plane", &control, "--listen", listen])
            .arg("--data-dir")
            .arg(&data)
            .args(["--via", &format!("http://{via}")]);
        command
    })
    .await
}

async fn start(
    folder: &Path,
    command: impl Fn(&str) -> Command + Send + Sync + 'static,
) -> anyhow::Result<Thief> {
    let listen = format!("127.0.0.1:{}", free_port()?);
    let base = format!("http://{listen}");
    let at = listen.clone();
    let process = Process::start("the thief", folder.join("log"), move || command(&at))?;
    until("the thief", || async {
        // Its port alone: no ticket is spent by looking.
        TcpStream::connect(&listen).await.is_ok()
    })
    .await
    .context("the thief does not start")?;
    Ok(Thief {
        base,
        _process: process,
    })
}
