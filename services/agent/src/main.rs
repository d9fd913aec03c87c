//! The agent's program.

use std::path::PathBuf;

use armour_agent::options::{ConsumerOptions, ProducerOptions};
use armour_telemetry::TelemetryOptions;
use clap::{Parser, Subcommand};
use prometheus::Registry;

/// Armour's endpoint.
#[derive(Parser)]
#[command(name = "armour-agent", version)]
struct Cli {
    #[command(flatten)]
    telemetry: TelemetryOptions,
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
    let Cli { telemetry, command } = Cli::parse();
    let service = match &command {
        Command::Enclave { key_file } => {
            // No threads and no logging where root secrets are.
            return armour_agent::enclave::process::run(key_file);
        }
        Command::Producer(_) => "armour-agent-producer",
        _ => "armour-agent-consumer",
    };
    let telemetry = armour_telemetry::start(service, &telemetry)?;
    armour_listener::raise_file_limit();
    let served = serve(command, telemetry.registry.clone());
    telemetry.end();
    served
}

#[tokio::main]
async fn serve(command: Command, registry: Registry) -> anyhow::Result<()> {
    match command {
        Command::Consumer(options) => armour_agent::consumer::run(options, registry).await,
        Command::Producer(options) => armour_agent::producer::run(options, registry).await,
        #[cfg(feature = "clone-demo")]
        Command::Clone(options) => armour_agent::consumer::clone::run(options).await,
        Command::Enclave { .. } => Ok(()),
    }
}
