//! Says what is going on: one line that changes on a terminal, a line a phase elsewhere.

use std::{
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;

/// Shown on the standard error.
pub struct Progress {
    bar: Option<ProgressBar>,
    part: Mutex<(&'static str, Instant)>,
}

impl Progress {
    pub fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self {
            bar,
            part: Mutex::new(("", Instant::now())),
        }
    }

    /// Another part begins.
    pub fn part(&self, name: &'static str) {
        *self.part.lock() = (name, Instant::now());
        self.phase("starts its fleet");
    }

    /// Another phase of it begins.
    pub fn phase(&self, what: &str) {
        let (part, since) = *self.part.lock();
        match &self.bar {
            Some(bar) => bar.set_message(format!("{part}: {what}")),
            None => eprintln!("{part}: {what} ({} s)", since.elapsed().as_secs()),
        }
    }

    /// How far a phase has come; on a terminal only.
    pub fn detail(&self, what: impl FnOnce() -> String) {
        if let Some(bar) = &self.bar {
            let (part, _) = *self.part.lock();
            bar.set_message(format!("{part}: {}", what()));
        }
    }

    /// Nothing is going on any more.
    pub fn over(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
