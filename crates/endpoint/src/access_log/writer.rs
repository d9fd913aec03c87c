//! Writes lines, in a thread of its own: only it waits for a disk or a pipe.

use std::{
    convert::Infallible,
    fmt,
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender},
    },
    time::Duration,
};

use anyhow::Context as _;
use tokio::time::Instant;

use super::missing::{Missing, Reason};

/// How often it is looked whether the file is to be opened anew, and something is to be told.
const TICK: Duration = Duration::from_secs(1);
/// How often it is told that lines are missing.
const TELL: Duration = Duration::from_secs(60);
/// As much is written at once.
const AT_ONCE: usize = 64 * 1024;

/// Where the log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Nowhere.
    Off,
    /// To standard output.
    Stdout,
    /// To the end of a file.
    File(PathBuf),
}

/// No text is.
pub type UnknownTarget = Infallible;

impl FromStr for Target {
    type Err = UnknownTarget;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            // An unset value of a chart's is an empty one.
            "off" | "" => Self::Off,
            "-" => Self::Stdout,
            path => Self::File(path.into()),
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => formatter.write_str("off"),
            Self::Stdout => formatter.write_str("-"),
            Self::File(path) => path.display().fmt(formatter),
        }
    }
}

/// What the writer is to do.
pub enum Message {
    /// Write this.
    Line(Vec<u8>),
    /// Look whether the file is to be opened anew.
    Wake,
    /// Write what came before, and say so.
    Flush(SyncSender<()>),
}

/// Whether the file is to be opened anew.
#[derive(Default)]
pub struct Reopen(AtomicBool);

impl Reopen {
    /// It is.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// The writer.
pub struct Writer {
    target: Target,
    queue: Receiver<Message>,
    reopen: Arc<Reopen>,
    missing: Arc<Missing>,
    /// Whether the file may end within a line, which the next must not go on with.
    is_torn: bool,
    /// Why it did not take something, the last time.
    error: Option<String>,
    told: Instant,
}

impl Writer {
    /// One that has opened nothing yet.
    pub fn new(
        target: Target,
        queue: Receiver<Message>,
        reopen: Arc<Reopen>,
        missing: Arc<Missing>,
    ) -> Self {
        Self {
            target,
            queue,
            reopen,
            missing,
            is_torn: false,
            error: None,
            told: Instant::now(),
        }
    }

    /// Opens the log, says how that went, and writes until nobody can send any more.
    pub fn run(mut self, opened: &SyncSender<anyhow::Result<()>>) {
        let mut sink = match open(&self.target) {
            Ok(sink) => sink,
            Err(error) => {
                let _ = opened.send(Err(error));
                return;
            }
        };
        let _ = opened.send(Ok(()));
        loop {
            let first = match self.queue.recv_timeout(TICK) {
                Err(RecvTimeoutError::Disconnected) => return,
                first => first.ok(),
            };
            if self.reopen.take() {
                match open(&self.target) {
                    Ok(anew) => (sink, self.is_torn) = (anew, false),
                    Err(error) => {
                        let error = format!("{error:#}");
                        tracing::error!(error, "the access log goes on in the file that it has");
                    }
                }
            }
            self.write(&mut sink, first);
            self.tell();
        }
    }

    /// Writes a message and those that wait behind it.
    fn write(&mut self, sink: &mut Sink, first: Option<Message>) {
        let (mut buffer, mut lines, mut waiting) = (Vec::new(), 0, Vec::new());
        let mut next = first;
        while let Some(message) = next {
            match message {
                Message::Line(line) => {
                    buffer.extend_from_slice(&line);
                    lines += 1;
                }
                Message::Wake => {}
                Message::Flush(done) => waiting.push(done),
            }
            let full = buffer.len() >= AT_ONCE;
            next = if full {
                None
            } else {
                self.queue.try_recv().ok()
            };
        }
        if lines > 0 {
            if self.is_torn {
                buffer.insert(0, b'\n');
            }
            let written = sink.write_all(&buffer).and_then(|()| sink.flush());
            self.is_torn = written.is_err();
            if let Err(error) = written {
                self.missing.add(lines, Reason::Write);
                self.error = Some(error.to_string());
            }
        }
        for done in waiting {
            let _ = done.send(());
        }
    }

    fn tell(&mut self) {
        if self.told.elapsed() < TELL {
            return;
        }
        self.told = Instant::now();
        let lines = self.missing.take();
        if lines > 0 {
            let error = self.error.take().unwrap_or_default();
            tracing::warn!(lines, error, "lines are missing in the access log");
        }
    }
}

type Sink = Box<dyn Write>;

fn open(target: &Target) -> anyhow::Result<Sink> {
    Ok(match target {
        Target::Off => Box::new(io::sink()),
        Target::Stdout => Box::new(io::stdout()),
        Target::File(path) => file(path)?,
    })
}

/// The end of a file, which those of its group may read.
fn file(path: &Path) -> anyhow::Result<Sink> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
        .with_context(|| format!("open the access log {}", path.display()))?;
    Ok(Box::new(file))
}
