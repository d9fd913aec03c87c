//! Streams through the two agents: whether a copy taken inside one is found, what an event costs
//! among a hundred, how soon a caller that hangs up is let go, whether a stream that was cut is
//! ever taken for one that ended, and the memory that long bodies need.

mod api;
mod bodies;
mod caller;
mod clones;
mod cuts;
mod events;
mod hang_ups;
mod stage;

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// What to do of each.
#[derive(Debug, Clone, clap::Args)]
pub struct Plan {
    /// Copies of a consumer, each taken inside a stream that has been re-keyed twenty times.
    #[arg(long, default_value_t = 100)]
    pub clones: u32,
    /// How many systems play at once while copies are taken.
    #[arg(long, default_value_t = 3)]
    pub parallel: u32,
    /// Streams of server-sent events at once.
    #[arg(long, default_value_t = 100)]
    pub streams: u32,
    /// Events of each, four a second.
    #[arg(long, default_value_t = 40)]
    pub events: u32,
    /// Callers that hang up, half of them before an answer, half within events.
    #[arg(long, default_value_t = 40)]
    pub hang_ups: u32,
    /// Streams that are cut: by the API, the caller, the way between the agents, or an agent's end.
    #[arg(long, default_value_t = 100)]
    pub cuts: u32,
    /// Mebibytes of an upload and of a download, both at once.
    #[arg(long, default_value_t = 10_240)]
    pub mebibytes: u64,
}

/// What a run showed, for programs to read.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// Copies taken inside a stream, ten minutes of re-keying after its beginning, that the ledger
    /// found while it went on.
    pub found: u32,
    /// How many there were.
    pub clones: u32,
    /// Streams that were cut and whose receiver, caller or API, took what it had for all of it.
    pub cuts_taken_for_ends: u32,
    /// From the API's sending of an event until its caller has it, of 99 in 100 at most.
    pub event_p99_ms: f64,
    /// From a caller's hanging up until its API's call has ended and its lane serves again, at most.
    pub hang_up_seconds: f64,
    /// The most that one agent and its enclave had resident, an upload and a download under way.
    pub peak_memory_mib: f64,
}

/// What a run showed.
pub struct Outcome {
    /// For programs.
    pub figures: Figures,
    /// For people: names and values.
    pub rows: Vec<(String, String)>,
}

/// Does all of it.
///
/// # Errors
/// If a system does not start, or a stream that nobody cut does not end as it should.
pub async fn run(plan: &Plan) -> anyhow::Result<Outcome> {
    let bar =
        ProgressBar::new(u64::from(plan.clones + plan.hang_ups + plan.cuts) + plan.mebibytes * 2);
    bar.set_style(ProgressStyle::with_template("{bar:30} {percent} % {msg}")?);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar.set_message("copies inside a stream");
    let found = clones::count(plan.clones, plan.parallel, &bar).await?;
    bar.set_message("events");
    let events = events::measure(plan.streams, plan.events).await?;
    bar.set_message("callers that hang up");
    let hang_up = hang_ups::measure(plan.hang_ups, &bar).await?;
    bar.set_message("streams that are cut");
    let cuts = cuts::count(plan.cuts, &bar).await?;
    bar.set_message("long bodies");
    let bodies = bodies::measure(plan.mebibytes, &bar).await?;
    bar.finish_and_clear();
    let mut rows = vec![(
        "copies inside a stream, found".into(),
        format!("{found} of {}", plan.clones),
    )];
    rows.extend(events.rows());
    rows.push((
        "hang-up, longest".into(),
        format!("{:.0} ms", hang_up.as_secs_f64() * 1e3),
    ));
    rows.extend(cuts.rows());
    rows.extend(bodies.rows());
    Ok(Outcome {
        figures: Figures {
            found,
            clones: plan.clones,
            cuts_taken_for_ends: cuts.taken_for_ends(),
            event_p99_ms: events.percentile(0.99).as_secs_f64() * 1e3,
            hang_up_seconds: hang_up.as_secs_f64(),
            peak_memory_mib: bodies.peak as f64 / f64::from(1 << 20),
        },
        rows,
    })
}

impl Figures {
    /// Whether everything that is promised holds.
    pub fn is_clean(&self) -> bool {
        self.cuts_taken_for_ends == 0 && self.found == self.clones
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, value) in &self.rows {
            writeln!(f, "{name:44} {value:>14}")?;
        }
        Ok(())
    }
}
