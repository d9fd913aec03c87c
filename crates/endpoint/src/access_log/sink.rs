//! Chooses which calls are written.

use std::sync::{Arc, mpsc::SyncSender};

use armour_ambient::Ambient;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    entry::Entry,
    field::Field,
    missing::{Missing, Reason},
    writer::{Message, Reopen},
};

/// Failed calls that are written though the sample leaves them out: so many a second.
const FAILURES: f64 = 100.0;
/// And so many at once.
const FAILURES_AT_ONCE: f64 = 200.0;

/// Where calls that have ended go.
pub struct Sink {
    pub queue: SyncSender<Message>,
    pub reopen: Arc<Reopen>,
    pub missing: Arc<Missing>,
    pub sample: f64,
    pub fields: Vec<Field>,
    pub failures: Mutex<Bucket>,
    pub ambient: Ambient,
}

impl Sink {
    /// Writes what is wanted of a call that has ended.
    pub fn end(&self, entry: &Entry) {
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
pub struct Bucket {
    left: f64,
    since: Instant,
}

impl Bucket {
    /// As many as may be at once.
    pub fn full() -> Self {
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
