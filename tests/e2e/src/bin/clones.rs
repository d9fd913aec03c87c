//! Copies the state of running consumers and producers, lets copy and victim act, and counts
//! how many the ledger finds; its last line is JSON. Fails if one is not found.

use std::process::ExitCode;

use armour_e2e::clones::{Plan, run};
use clap::Parser;

#[derive(Parser)]
#[command(about, version)]
struct Options {
    /// How many clones of consumers, in turns acting before and after their victim.
    #[arg(long, default_value_t = 100)]
    consumers: usize,
    /// How many clones of producers, which answer in their victim's place.
    #[arg(long, default_value_t = 100)]
    producers: usize,
    /// How many systems play at once.
    #[arg(long, default_value_t = 3)]
    parallel: usize,
    /// Endpoints of each side besides those that may be copied; none of them, nor of the bundles
    /// between them, may be cut.
    #[arg(long, default_value_t = 0)]
    bystanders: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let outcome = run(Plan {
        consumers: options.consumers,
        producers: options.producers,
        parallel: options.parallel,
        bystanders: options.bystanders,
    })
    .await?;
    print!("{outcome}");
    println!("{}", serde_json::to_string(&outcome.figures())?);
    Ok(match outcome.is_clean() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
