//! The agent's program.

use std::path::PathBuf;

use armour_agent::options::{ConsumerOptions, ProducerOptions};
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// Armour's endpoint.
#[derive(Parser)]
#[command(name = "armour-agent", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Take plain HTTP on loopback and send it protected.
    Consumer(ConsumerOptions),
    /// Take protected exchanges and forward them to an upstream.
    Producer(ProducerOptions),
    /// Act with a consumer's stolen state.
    #[cfg(feature = "clone-demo")]
    #[command(hide = true)]
    Clone(armour_agent::consumer::clone::CloneOptions),
    /// The process that holds root secrets; started by the others.
    #[command(hide = true)]
    Enclave {
        /// File of the endpoint's long-term keys.
        #[arg(long)]
        key_file: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    let command = Cli::parse().command;
    if let Command::Enclave { key_file } = command {
        // No threads and no logging where root secrets are.
        return armour_agent::enclave::process::run(&key_file);
    }
    let filter = EnvFilter::try_from_env("ARMOUR_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    armour_listener::raise_file_limit();
    serve(command)
}

#[tokio::main]
async fn serve(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Consumer(options) => armour_agent::consumer::run(options).await,
        Command::Producer(options) => armour_agent::producer::run(options).await,
        #[cfg(feature = "clone-demo")]
        Command::Clone(options) => armour_agent::consumer::clone::run(options).await,
        Command::Enclave { .. } => Ok(()),
    }
}
