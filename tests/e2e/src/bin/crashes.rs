//! Kills each process at its every write, and shows what came of it; the last line is JSON.

use std::process::ExitCode;

use armour_e2e::crashes::{Plan, Victim, run};
use clap::Parser;

#[derive(Parser)]
#[command(about, version)]
struct Options {
    /// At how many of its writes each process is killed, evenly; at all if absent.
    #[arg(long)]
    samples: Option<u64>,
    /// How many lives are lived at once.
    #[arg(long, default_value_t = 8)]
    at_once: usize,
    /// Part of the name of what is killed.
    #[arg(long, default_value = "")]
    only: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let victims = Victim::ALL.into_iter();
    let outcome = run(Plan {
        victims: victims
            .filter(|victim| victim.name().contains(&options.only))
            .collect(),
        samples: options.samples,
        at_once: options.at_once,
    })
    .await?;
    print!("{outcome}");
    println!("{}", outcome.json());
    Ok(match outcome.is_clean() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
