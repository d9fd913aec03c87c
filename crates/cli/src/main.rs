//! The `armour` command.

use std::process::ExitCode;

use armour_cli::{
    demo::Demo,
    dev::{DataFolder, Dev},
    operate,
};
use clap::{Parser, Subcommand};

/// Armour's command line.
#[derive(Parser)]
#[command(name = "armour", version)]
struct Cli {
    #[command(flatten)]
    folder: DataFolder,
    #[command(flatten)]
    access: operate::Access,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run PostgreSQL, a control plane, an upstream and two agents here.
    Dev(Dev),
    /// Show a theft and its discovery on a running `armour dev`.
    #[command(subcommand)]
    Demo(Demo),
    #[command(flatten)]
    Resource(operate::Resource),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let data = cli.folder.path();
    let done = match cli.command {
        Command::Dev(dev) => dev.run(data).await,
        Command::Demo(demo) => demo.run(data, &cli.access).await,
        Command::Resource(resource) => operate::run(&data, &cli.access, resource).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("armour: {error:#}");
            ExitCode::FAILURE
        }
    }
}
