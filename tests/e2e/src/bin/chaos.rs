//! Random faults, two at a time, under traffic and thefts: kills, pauses, partitions and
//! slow links between network namespaces, a full disk, no connections, no open files.
//! Prints what happened and fails if anything was run twice, lost, taken for a theft that
//! was none, or missed. Needs root.
#![expect(
    clippy::disallowed_methods,
    reason = "a seed that is printed, so that a run can be repeated"
)]

use std::{process::ExitCode, time::Duration};

use armour_e2e::chaos::{Plan, run};
use clap::Parser;

#[derive(Parser)]
#[command(about, version)]
struct Options {
    /// For how many minutes.
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// How many callers at once.
    #[arg(long, default_value_t = 8)]
    callers: usize,
    /// Where the random choices begin.
    #[arg(long)]
    seed: Option<u64>,
    /// Keep the system's folder, with all logs.
    #[arg(long)]
    keep: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let seed = options.seed.unwrap_or_else(rand::random);
    println!("seed {seed}");
    let plan = Plan {
        time: Duration::from_secs_f64(options.minutes * 60.0),
        callers: options.callers,
        seed,
    };
    let outcome = run(plan, options.keep).await?;
    print!("{outcome}");
    Ok(match outcome.is_clean() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
