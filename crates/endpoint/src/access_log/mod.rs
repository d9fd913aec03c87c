//! The access log: one JSON object a line for each call, at its end. Writing never makes a call
//! wait: what a full queue, a slow pipe or a full disk does not take is counted and left out.

mod counted;
mod entry;
mod field;
mod missing;
mod noted;
mod record;
mod sink;
mod writer;

use std::{
    fmt,
    sync::{Arc, mpsc::sync_channel},
    time::Duration,
};

use anyhow::Context as _;
use armour_ambient::Ambient;
use parking_lot::Mutex;

pub use self::{entry::Side, field::Field, record::Record, writer::Target};
use self::{
    missing::Missing,
    sink::{Bucket, Sink},
    writer::{Message, Writer},
};

/// How many lines wait for the writer at most.
const QUEUE: usize = 8_192;
/// How long the log may take to be opened: a named pipe that nobody reads would take for ever.
const OPEN_WITHIN: Duration = Duration::from_secs(5);

/// Where calls are noted; off by default.
#[derive(Clone, Default)]
pub struct AccessLog(Option<Arc<Sink>>);

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
        Ok(Self(Some(Arc::new(Sink {
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
        if let Some(sink) = &self.0 {
            sink.reopen.ask();
            let _ = sink.queue.try_send(Message::Wake);
        }
    }

    /// Has what waits written, for so long at most. Blocks the thread.
    pub fn flush(&self, within: Duration) {
        let Some(sink) = &self.0 else {
            return;
        };
        let (done, is_done) = sync_channel(1);
        if sink.queue.try_send(Message::Flush(done)).is_ok() {
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

#[cfg(test)]
mod tests;
