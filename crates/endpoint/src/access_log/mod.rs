//! The access log: one JSON object a line for each call, at its end. Writing never makes a call
//! wait: what a full queue, a slow pipe or a full disk does not take is counted and left out.

mod counted;
mod entry;
mod field;
mod missing;
mod record;
mod writer;

use std::{
    fmt,
    sync::{
        Arc,
        mpsc::{SyncSender, sync_channel},
    },
    time::Duration,
};

use anyhow::Context as _;
use armour_ambient::Ambient;
use parking_lot::Mutex;
use tokio::time::Instant;

use self::{
    entry::Entry,
    missing::{Missing, Reason},
    writer::{Message, Writer},
};
pub use self::{
    entry::Side,
    field::Field,
    record::Record,
    writer::{Target, UnknownTarget},
};

/// How many lines wait for the writer at most.
const QUEUE: usize = 8_192;
/// How long the log may take to be opened: a named pipe that nobody reads would take for ever.
const OPEN_WITHIN: Duration = Duration::from_secs(5);
/// Failed calls that are written though the sample leaves them out: so many a second.
const FAILURES: f64 = 100.0;
/// And so many at once.
const FAILURES_AT_ONCE: f64 = 200.0;

/// Where calls are noted; off by default.
#[derive(Clone, Default)]
pub struct AccessLog(Option<Arc<Inner>>);

/// How an access log is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Where to.
    pub target: Target,
    /// The share of calls that is written, 0 to 1. Failures are written in any case.
    pub sample: f64,
    /// What is written of each, in this order.
    pub fields: Vec<Field>,
}

struct Inner {
    queue: SyncSender<Message>,
    reopen: Arc<writer::Reopen>,
    missing: Arc<Missing>,
    sample: f64,
    fields: Vec<Field>,
    failures: Mutex<Bucket>,
    ambient: Ambient,
}

impl AccessLog {
    /// Opens the log.
    ///
    /// # Errors
    /// If its file cannot be opened, or not within five seconds.
    pub fn open(settings: Settings, ambient: Ambient) -> anyhow::Result<Self> {
        Self::with_queue(settings, ambient, QUEUE)
    }

    fn with_queue(settings: Settings, ambient: Ambient, queue: usize) -> anyhow::Result<Self> {
        if settings.target == Target::Off {
            return Ok(Self(None));
        }
        let (sender, receiver) = sync_channel(queue);
        let missing = Arc::new(Missing::new());
        let reopen = Arc::default();
        let (opened, is_open) = sync_channel(1);
        let writer = Writer::new(
            settings.target,
            receiver,
            Arc::clone(&reopen),
            missing.clone(),
        );
        std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || writer.run(&opened))
            .context("start the access log")?;
        is_open
            .recv_timeout(OPEN_WITHIN)
            .context("the access log cannot be opened in time")??;
        Ok(Self(Some(Arc::new(Inner {
            queue: sender,
            reopen,
            missing,
            sample: settings.sample,
            fields: settings.fields,
            failures: Mutex::new(Bucket::full()),
            ambient,
        }))))
    }

    /// A call begins at this side; it is written once nobody holds its record any more.
    pub fn begin(&self, side: Side) -> Record {
        Record::begin(self.0.as_ref(), side)
    }

    /// Has the file opened anew: it was renamed.
    pub fn reopen(&self) {
        if let Some(inner) = &self.0 {
            inner.reopen.ask();
            let _ = inner.queue.try_send(Message::Wake);
        }
    }

    /// Has what waits written, for so long at most. Blocks the thread.
    pub fn flush(&self, within: Duration) {
        let Some(inner) = &self.0 else {
            return;
        };
        let (done, is_done) = sync_channel(1);
        if inner.queue.try_send(Message::Flush(done)).is_ok() {
            let _ = is_done.recv_timeout(within);
        }
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.0 {
            Some(_) => "AccessLog(on)",
            None => "AccessLog(off)",
        })
    }
}

impl Inner {
    /// Writes what is wanted of a call that has ended.
    fn end(&self, entry: &Entry) {
        let drawn = u32::from_le_bytes(self.ambient.random.bytes());
        let is_sampled = f64::from(drawn) < self.sample * 4_294_967_296.0;
        if !is_sampled {
            if !entry.is_failure() {
                return;
            }
            if !self.failures.lock().take(Instant::now()) {
                return self.missing.add(1, Reason::Rate);
            }
        }
        let line = entry.line(&self.fields);
        if self.queue.try_send(Message::Line(line)).is_err() {
            self.missing.add(1, Reason::Queue);
        }
    }
}

/// How many failures may be written now.
struct Bucket {
    left: f64,
    since: Instant,
}

impl Bucket {
    fn full() -> Self {
        Self {
            left: FAILURES_AT_ONCE,
            since: Instant::now(),
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        let passed = now.duration_since(self.since).as_secs_f64();
        self.since = now;
        self.left = (self.left + passed * FAILURES).min(FAILURES_AT_ONCE);
        let may = self.left >= 1.0;
        if may {
            self.left -= 1.0;
        }
        may
    }
}

#[cfg(test)]
mod tests;
