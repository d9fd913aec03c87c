//! The socket in an agent's data folder by which it is asked to leave ahead of its SIGTERM: that
//! comes to a sidecar of Kubernetes only once the application has ended. The folder is its
//! owner's alone, so nobody else can ask.

use std::{
    fs::File,
    future::Future,
    io,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use armour_endpoint::producer::draining::Awaited;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::watch,
};
use tokio_util::task::AbortOnDropHandle;

use crate::options::DrainOptions;

/// The socket's name in the data folder.
const NAME: &str = "control";
/// What is asked there.
const DRAIN: &str = "drain\n";
/// How the last line of an answer begins.
const DONE: &str = "done";
/// How long whoever connects may take to ask.
const ASKED_WITHIN: Duration = Duration::from_secs(5);
/// How often it is told what is waited for.
const TOLD_EACH: Duration = Duration::from_secs(1);
/// Longer paths are not those of a socket (unix(7)).
const MAX_PATH: usize = 100;

/// Who can leave.
pub trait Leave: Send + Sync + 'static {
    /// Leaves, and tells now and then what it waits for; returns once it has, with a word on it.
    fn leave(&self, tell: watch::Sender<Option<Awaited>>) -> impl Future<Output = String> + Send;
}

/// Serves the socket until this is dropped. An agent without it can be stopped all the same.
pub fn serve(folder: &Path, who: Arc<impl Leave>) -> Option<AbortOnDropHandle<()>> {
    match listen(folder) {
        Ok(listener) => Some(AbortOnDropHandle::new(tokio::spawn(accept(listener, who)))),
        Err(error) => {
            let folder = folder.display();
            tracing::warn!(%error, %folder, "this agent cannot be asked to leave ahead of SIGTERM");
            None
        }
    }
}

/// Has the agent of a data folder leave, and prints what it waits for.
///
/// # Errors
/// If there is none, or it takes too long.
pub async fn ask(options: &DrainOptions) -> anyhow::Result<()> {
    let within = Duration::from_secs(options.timeout);
    let asked = tokio::time::timeout(within, ask_in_time(&options.data_dir));
    match asked.await {
        Ok(asked) => asked,
        Err(_) => bail!("the agent has not done in {within:?}; it goes on"),
    }
}

async fn ask_in_time(folder: &Path) -> anyhow::Result<()> {
    let (_open, path) = short(folder).with_context(|| format!("open {}", folder.display()))?;
    let stream = UnixStream::connect(&path).await;
    let mut stream = stream.with_context(|| format!("no agent runs in {}", folder.display()))?;
    stream.write_all(DRAIN.as_bytes()).await?;
    let mut lines = BufReader::new(stream).lines();
    let mut last = String::new();
    while let Some(line) = lines.next_line().await? {
        println!("{line}");
        last = line;
    }
    if !last.starts_with(DONE) {
        bail!("the agent ended before it had done");
    }
    Ok(())
}

fn listen(folder: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(folder.join(NAME)) {
        // Another process's that has ended: the folder is locked.
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let (_open, path) = short(folder)?;
    UnixListener::bind(path)
}

/// The socket's path, by a way that is short enough while the file is open.
fn short(folder: &Path) -> io::Result<(File, PathBuf)> {
    let open = File::open(folder)?;
    let path = folder.join(NAME);
    let path = match path.as_os_str().len() {
        ..=MAX_PATH => path,
        _ => PathBuf::from(format!("/proc/self/fd/{}/{NAME}", open.as_raw_fd())),
    };
    Ok((open, path))
}

async fn accept(listener: UnixListener, who: Arc<impl Leave>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let who = who.clone();
                tokio::spawn(async move {
                    if let Err(error) = answer(stream, &*who).await {
                        tracing::debug!(%error, "whoever asked this agent to leave has gone");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the control socket takes nobody for a moment");
                tokio::time::sleep(TOLD_EACH).await;
            }
        }
    }
}

async fn answer(stream: UnixStream, who: &impl Leave) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut asked = String::new();
    let mut read = BufReader::new(read.take(DRAIN.len() as u64));
    let read = read.read_line(&mut asked);
    if tokio::time::timeout(ASKED_WITHIN, read).await.is_err() || asked != DRAIN {
        return write.write_all(b"what is asked here is: drain\n").await;
    }
    let (tell, told) = watch::channel(None);
    let leaving = who.leave(tell);
    tokio::pin!(leaving);
    let mut tick = tokio::time::interval(TOLD_EACH);
    loop {
        tokio::select! {
            done = &mut leaving => {
                return write.write_all(format!("{DONE}: {done}\n").as_bytes()).await;
            }
            _ = tick.tick() => {
                let awaited = *told.borrow();
                // Who has gone stops nothing.
                if let Some(awaited) = awaited {
                    let _ = write.write_all(line(awaited).as_bytes()).await;
                }
            }
        }
    }
}

fn line(awaited: Awaited) -> String {
    let Awaited {
        bundles,
        calls,
        quiet_for,
    } = awaited;
    format!(
        "leaving: {bundles} bundles in use, {calls} calls under way, last called {:.1} s ago\n",
        quiet_for.as_secs_f64()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Leaver;

    impl Leave for Leaver {
        async fn leave(&self, tell: watch::Sender<Option<Awaited>>) -> String {
            tell.send_replace(Some(Awaited {
                bundles: 2,
                calls: 1,
                quiet_for: Duration::from_millis(300),
            }));
            tokio::time::sleep(TOLD_EACH * 2).await;
            "all have moved".to_owned()
        }
    }

    async fn said(folder: &Path, asked: &str) -> String {
        let (_open, path) = short(folder).unwrap();
        let mut stream = UnixStream::connect(path).await.unwrap();
        stream.write_all(asked.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn an_agent_is_asked_to_leave_by_its_folder_and_says_what_it_waits_for() {
        let dir = tempfile::tempdir().unwrap();
        // Such a path is no socket's.
        let folder = dir.path().join("a-long-name-".repeat(12));
        std::fs::create_dir(&folder).unwrap();
        let options = DrainOptions {
            data_dir: folder.clone(),
            timeout: 30,
        };
        assert!(ask(&options).await.is_err(), "none runs");
        // One that died left its socket.
        drop(listen(&folder).unwrap());
        let _serving = serve(&folder, Arc::new(Leaver)).unwrap();
        ask(&options).await.unwrap();
        let answer = said(&folder, DRAIN).await;
        let waits = "leaving: 2 bundles in use, 1 calls under way, last called 0.3 s ago\n";
        assert!(answer.contains(waits), "{answer}");
        assert!(answer.ends_with("done: all have moved\n"), "{answer}");
        assert!(said(&folder, "stops\n").await.contains("drain"));
    }
}
