//! The `armour` command.

use std::process::ExitCode;

use armour_ambient::Ambient;
use armour_cli::{
    cli::Cli,
    terminal::{self, ReaderGone},
};
use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    match Cli::parse().run(&Ambient::system()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<ReaderGone>() => ExitCode::SUCCESS,
        Err(error) => {
            terminal::write_error(format_args!("armour: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
