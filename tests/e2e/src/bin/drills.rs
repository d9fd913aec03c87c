//! What operators do to a running system, under traffic; prints what became of the
//! exchanges and fails if one was run twice, lost, wrong, or taken for a theft.

use std::{path::PathBuf, process::ExitCode};

use armour_e2e::{
    drills::{Plan, failover, restore, rolling_restart, rolling_upgrade},
    fleet, streams,
};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about, version)]
struct Options {
    #[command(subcommand)]
    drill: Drill,
    /// How many callers at once.
    #[arg(long, default_value_t = 16, global = true)]
    callers: usize,
    /// Calls before, between and after what is done.
    #[arg(long, default_value_t = 1_000, global = true)]
    calls: u64,
    /// How often it is done.
    #[arg(long, default_value_t = 3, global = true)]
    rounds: usize,
}

#[derive(Subcommand)]
enum Drill {
    /// Three control planes behind nginx, with clocks that are ten minutes off,
    /// stopped and started in turn.
    Rolling,
    /// The same, from an earlier version's programs to these.
    Upgrade {
        /// The folder of the earlier version's programs.
        earlier: PathBuf,
    },
    /// PostgreSQL's primary dies, its standby takes over.
    Failover,
    /// PostgreSQL is restored to an earlier point in time.
    Restore,
    /// Streams: events, callers that hang up, cuts, long bodies. The last line is JSON.
    Streams(streams::Plan),
    /// Fleets: producers and consumers that are killed, frozen, rolled and cut off. The last line
    /// is JSON.
    #[command(after_long_help = fleet::FIGURES)]
    Fleet(Box<fleet::Plan>),
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let plan = Plan {
        callers: options.callers,
        calls: options.calls,
        rounds: options.rounds,
    };
    let outcome = match options.drill {
        Drill::Rolling => rolling_restart(&plan).await?,
        Drill::Upgrade { earlier } => rolling_upgrade(&plan, earlier).await?,
        Drill::Failover => failover(&plan).await?,
        Drill::Restore => restore(&plan).await?,
        Drill::Streams(plan) => return run_streams(&plan).await,
        Drill::Fleet(plan) => return run_fleet(&plan).await,
    };
    print!("{outcome}");
    Ok(match outcome.tally.is_clean() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

async fn run_streams(plan: &streams::Plan) -> anyhow::Result<ExitCode> {
    let outcome = streams::run(plan).await?;
    print!("{outcome}");
    println!("{}", serde_json::to_string(&outcome.figures)?);
    Ok(match outcome.figures.is_clean() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

async fn run_fleet(plan: &fleet::Plan) -> anyhow::Result<ExitCode> {
    let findings = fleet::run(plan).await;
    print!("{findings}");
    println!("{}", serde_json::to_string(&findings.figures)?);
    Ok(match findings.is_clean() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
