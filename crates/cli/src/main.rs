//! The `armour` command.

use std::process::ExitCode;

use armour_ambient::Ambient;
use armour_cli::cli::Cli;
use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    match Cli::parse().run(&Ambient::system()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("armour: {error:#}");
            ExitCode::FAILURE
        }
    }
}
