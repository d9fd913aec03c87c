//! A thief with a copy of a live consumer's state, or of its disk.

use std::{net::SocketAddr, path::Path};

use anyhow::Context as _;
use tokio::{
    io::AsyncReadExt,
    net::{TcpStream, UnixStream},
    process::Command,
};

use crate::{
    process::{Process, free_port, knows, program, until},
    system::System,
};

/// A second process in the consumer's name; killed when dropped.
pub struct Thief {
    /// Where it takes the thief's plain HTTP.
    pub base: String,
    process: Process,
}

impl Thief {
    /// Where it listens.
    ///
    /// # Errors
    /// If that is no address.
    pub fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.base.trim_start_matches("http://").parse()?)
    }

    /// What it has written.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn log(&self) -> anyhow::Result<String> {
        self.process.log()
    }
}

/// Copies the memory of the consumer's enclave: keys and idle lanes. The system was set
/// up with `exports`.
///
/// # Errors
/// If the state is not handed out, or the thief does not start.
pub async fn steal_memory(system: &System, name: &str) -> anyhow::Result<Thief> {
    steal(system, "export.sock", name, None).await
}

/// Copies what a producer's enclave has of its bundle: keys and lanes that await a ticket.
/// The thief answers in its place. The system was set up with `exports`.
///
/// # Errors
/// As above.
pub async fn steal_producer(system: &System, name: &str) -> anyhow::Result<Thief> {
    let upstream = SocketAddr::from(([127, 0, 0, 1], system.upstream));
    steal_producer_before(system, name, upstream).await
}

/// The same, and the thief's calls go to an upstream of its own.
///
/// # Errors
/// As above.
pub async fn steal_producer_before(
    system: &System,
    name: &str,
    upstream: SocketAddr,
) -> anyhow::Result<Thief> {
    let upstream = format!("http://{upstream}");
    steal(system, "producer-export.sock", name, Some(upstream)).await
}

async fn steal(
    system: &System,
    socket: &str,
    name: &str,
    upstream: Option<String>,
) -> anyhow::Result<Thief> {
    let socket = system.folder().join(socket);
    // Nothing is handed out before there is a bundle.
    let handed_out = async || -> anyhow::Result<Vec<u8>> {
        let mut state = Vec::new();
        let mut socket = UnixStream::connect(&socket).await?;
        socket.read_to_end(&mut state).await?;
        Ok(state)
    };
    until("a state to be handed out", || async {
        handed_out().await.is_ok_and(|state| !state.is_empty())
    })
    .await?;
    let state = handed_out().await?;
    let folder = system.folder().join(name);
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("stolen.json");
    std::fs::write(&file, state)?;
    let data = folder.join("data");
    let option = "--rekey-streams";
    let rekeys = system.rekeys_streams && knows(&program("armour-agent")?, "clone", option)?;
    let thief = start(&folder, move |listen| {
        let mut command = Command::new(program("armour-agent").unwrap_or_default());
        command
            .arg("clone")
            .arg("--state")
            .arg(&file)
            .arg("--data-dir")
            .arg(&data)
            .args(["--listen", listen]);
        if let Some(upstream) = &upstream {
            command.args(["--upstream", upstream]);
        } else if rekeys {
            command.arg(option);
        }
        command
    })?;
    until("the thief", || async {
        // Its port alone: no ticket is spent by looking.
        TcpStream::connect(thief.base.trim_start_matches("http://"))
            .await
            .is_ok()
    })
    .await
    .with_context(|| {
        let log = thief.log().unwrap_or_default();
        format!("the thief does not start: {}", log.trim())
    })?;
    Ok(thief)
}

/// Copies the consumer's data folder: its keys and who it is. The thief is a whole agent,
/// which listens once its start is accepted.
///
/// # Errors
/// If the folder cannot be copied, or the thief does not start.
pub fn steal_disk(system: &System, name: &str) -> anyhow::Result<Thief> {
    let folder = system.folder().join(name);
    let data = folder.join("data");
    std::fs::create_dir_all(&data)?;
    copy(&system.folder().join("consumer"), &data)?;
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
}

/// Copies a folder, and what is in it.
///
/// # Errors
/// If it cannot be read or written.
pub fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy(&entry.path(), &to)?;
        } else if kind.is_file() {
            std::fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

fn start(
    folder: &Path,
    command: impl Fn(&str) -> Command + Send + Sync + 'static,
) -> anyhow::Result<Thief> {
    let listen = format!("127.0.0.1:{}", free_port()?);
    let base = format!("http://{listen}");
    let at = listen.clone();
    let process = Process::start("the thief", folder.join("log"), move || command(&at))?;
    Ok(Thief { base, process })
}
