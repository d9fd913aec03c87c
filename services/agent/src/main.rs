//! The agent's program.

use armour_agent::{
    control_socket,
    options::{Cli, Command, DrainOptions},
    serve,
};
use clap::Parser;
use prometheus::Registry;

fn main() -> anyhow::Result<()> {
    let Cli { telemetry, command } = Cli::parse();
    let service = match &command {
        Command::Enclave { key_file, pins } => {
            // No threads and no logging where root secrets are.
            return armour_enclave::process::run(key_file, pins.as_deref());
        }
        Command::Drain(options) => return drain(options),
        Command::Producer(_) => "armour-agent-producer",
        _ => "armour-agent-consumer",
    };
    // One-time keys and payloads are here.
    armour_enclave::protect_proxy()?;
    let telemetry = armour_telemetry::start(service, &telemetry)?;
    armour_listener::raise_file_limit();
    let served = run(command, telemetry.registry.clone());
    telemetry.end();
    served
}

#[tokio::main(flavor = "current_thread")]
async fn drain(options: &DrainOptions) -> anyhow::Result<()> {
    control_socket::ask(options).await
}

#[tokio::main]
async fn run(command: Command, registry: Registry) -> anyhow::Result<()> {
    match command {
        Command::Consumer(options) => serve::consumer(options, registry).await,
        Command::Producer(options) => serve::producer(options, registry).await,
        #[cfg(feature = "clone-demo")]
        Command::Clone(options) => serve::clone(&options).await,
        Command::Drain(_) | Command::Enclave { .. } => Ok(()),
    }
}
