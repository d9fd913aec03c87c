//! Exchanges with injected loss, delay, crashes and reconnects; prints what became of them, as
//! its last line in JSON, and fails if anything was run twice, begun after its deadline, lost,
//! or taken for a theft.

use std::process::ExitCode;

use armour_e2e::{
    faults::{Figures, Plan, run, setup},
    system::System,
};
use clap::Parser;

#[derive(Parser)]
#[command(about, version)]
struct Options {
    /// How many exchanges.
    #[arg(long, default_value_t = 100_000)]
    exchanges: u64,
    /// How many callers at once.
    #[arg(long, default_value_t = 16)]
    callers: usize,
    /// After so many exchanges kill a process or hold the network, each kind in turn.
    #[arg(long, default_value_t = 2_000)]
    kill_every: u64,
    /// Chance, in millionths a read, that a connection between agents is cut.
    #[arg(long, default_value_t = 2_000)]
    loss: u32,
    /// Keep the system's folder, with all logs.
    #[arg(long)]
    keep: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let mut system = System::set_up(setup()).await?;
    if options.keep {
        println!("logs in {}", system.keep().display());
    }
    let outcome = run(
        system,
        Plan {
            exchanges: options.exchanges,
            callers: options.callers,
            kill_every: options.kill_every,
            loss: options.loss,
        },
    )
    .await?;
    print!("{outcome}");
    println!("{}", serde_json::to_string(&Figures::from(&outcome))?);
    Ok(match outcome.is_clean() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
