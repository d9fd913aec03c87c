//! The `armour` command.

use clap::{Parser, Subcommand};

/// Armour's command line.
#[derive(Parser)]
#[command(name = "armour", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run an embedded PostgreSQL and a control plane on this machine.
    Dev(armour_cli::dev::Dev),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Dev(dev) => dev.run().await,
    }
}
