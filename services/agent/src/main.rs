//! The agent's program.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Armour's endpoint.
#[derive(Parser)]
#[command(name = "armour-agent", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The process that holds root secrets; started by the others.
    #[command(hide = true)]
    Enclave {
        /// File of the endpoint's long-term keys.
        #[arg(long)]
        key_file: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Enclave { key_file } => armour_agent::enclave::process::run(&key_file),
    }
}
