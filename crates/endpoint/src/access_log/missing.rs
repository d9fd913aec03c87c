//! What is missing in the log, and why.

use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry::{KeyValue, metrics::Counter};
use strum::{EnumIter, IntoEnumIterator, IntoStaticStr};

/// Why a line is missing: the label `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumIter, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Reason {
    /// The writer did not keep up.
    Queue,
    /// There were too many failures, none of them in the sample.
    Rate,
    /// The file or pipe did not take it.
    Write,
}

/// Counts it.
pub struct Missing {
    /// Since it was last told.
    untold: AtomicU64,
    counter: Counter<u64>,
}

impl Missing {
    /// Nothing is.
    pub fn new() -> Self {
        let meter = opentelemetry::global::meter("armour");
        let counter = meter.u64_counter("armour_agent_access_log_dropped").build();
        for reason in Reason::iter() {
            counter.add(0, &label(reason));
        }
        Self {
            untold: AtomicU64::new(0),
            counter,
        }
    }

    /// So many lines are.
    pub fn add(&self, lines: u64, reason: Reason) {
        self.untold.fetch_add(lines, Ordering::Relaxed);
        self.counter.add(lines, &label(reason));
    }

    /// How many since this was asked last.
    pub fn take(&self) -> u64 {
        self.untold.swap(0, Ordering::Relaxed)
    }
}

fn label(reason: Reason) -> [KeyValue; 1] {
    let reason: &'static str = reason.into();
    [KeyValue::new("reason", reason)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANUAL: &str = include_str!("../../../../docs/metrics.md");

    #[test]
    fn the_manual_lists_each_reason_that_a_line_is_missing_for() {
        let (_, listed) = MANUAL.split_once("missing in the access log: ").unwrap();
        let (listed, _) = listed.split_once(" |").unwrap();
        let words: Vec<&str> = Reason::iter().map(Into::into).collect();
        assert_eq!(listed, words.join(", "));
    }
}
