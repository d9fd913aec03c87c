//! What all runs showed.

use std::time::Duration;

use crate::terminal::print_line;
use anyhow::bail;

/// What one run showed.
pub(super) struct Run {
    /// The thief acted before the owner.
    pub thief_first: bool,
    /// From the second ticket to the ledger's disconnect.
    pub caught: Option<Duration>,
    /// From the second ticket until both were refused.
    pub refused: Option<Duration>,
    /// Collisions that the ledger recorded.
    pub collisions: usize,
}

/// Prints a table of the runs.
///
/// # Errors
/// If a clone was not caught exactly once.
pub(super) fn print(runs: &[Run]) -> anyhow::Result<()> {
    print_line!(
        "\n{:14} {:>5} {:>7} {:>8}  {:>16} {:>16}",
        "acts first",
        "runs",
        "caught",
        "refused",
        "caught p50/max",
        "refused p50/max"
    )?;
    for thief_first in [true, false] {
        let of: Vec<&Run> = runs
            .iter()
            .filter(|run| run.thief_first == thief_first)
            .collect();
        if of.is_empty() {
            continue;
        }
        let times = |of: Vec<Duration>| {
            let mut of = of;
            of.sort();
            match (of.get(of.len() / 2), of.last()) {
                (Some(median), Some(max)) => format!("{:.0?}/{:.0?}", median, max),
                _ => "-".to_owned(),
            }
        };
        let caught: Vec<Duration> = of
            .iter()
            .filter(|run| run.collisions == 1)
            .filter_map(|run| run.caught)
            .collect();
        let refused: Vec<Duration> = of.iter().filter_map(|run| run.refused).collect();
        print_line!(
            "{:14} {:>5} {:>7} {:>8}  {:>16} {:>16}",
            if thief_first {
                "the thief"
            } else {
                "the owner"
            },
            of.len(),
            caught.len(),
            refused.len(),
            times(caught),
            times(refused)
        )?;
    }
    let missed = runs
        .iter()
        .filter(|run| run.caught.is_none() || run.refused.is_none() || run.collisions != 1);
    match missed.count() {
        0 => Ok(()),
        missed => bail!(
            "{missed} of {} clones were not caught exactly once",
            runs.len()
        ),
    }
}
