//! What is known of a call so far.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    entry::{Ended, Entry, Side},
    sink::Sink,
};

/// A call's record, written when nobody holds it any more.
pub struct Noted {
    log: Arc<Sink>,
    since: Instant,
    pub state: Mutex<State>,
}

/// What it says so far.
pub struct State {
    pub entry: Entry,
    /// When the call was handed to whoever answers it.
    pub sent: Option<Instant>,
    /// Where it has been.
    pub places: u32,
    is_over: bool,
}

impl Noted {
    /// A call begins.
    pub fn begin(log: Arc<Sink>, side: Side) -> Self {
        let entry = Entry::new(log.ambient.now(), side);
        Self {
            log,
            since: Instant::now(),
            state: Mutex::new(State {
                entry,
                sent: None,
                places: 0,
                is_over: false,
            }),
        }
    }

    /// So much of the request was read.
    pub fn took(&self, bytes: u64) {
        self.state.lock().entry.request_bytes += bytes;
    }

    /// So much of the answer was handed on.
    pub fn gave(&self, bytes: u64) {
        self.state.lock().entry.response_bytes += bytes;
    }

    /// The answer is over.
    pub fn over(&self, ended: Ended) {
        let mut state = self.state.lock();
        state.entry.ended = ended;
        state.entry.duration = self.since.elapsed();
        state.is_over = true;
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        if !state.is_over {
            state.entry.duration = self.since.elapsed();
        }
        self.log.end(&state.entry);
    }
}
