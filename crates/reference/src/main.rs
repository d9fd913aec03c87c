//! `armour-reference docs` prints docs/configuration.md; `armour-reference pages <folder>`
//! writes manual pages and shells' completions of every program, as packages carry them.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use armour_reference::{configuration, programs};
use clap::{Parser, Subcommand};
use clap_complete::Shell;

/// Writes what is known of each program's command line.
#[derive(Parser)]
enum Cli {
    #[command(flatten)]
    Command(Command),
}

#[derive(Subcommand)]
enum Command {
    /// Print the configuration's reference.
    Docs,
    /// Write manual pages and completions.
    Pages { folder: PathBuf },
}

fn main() -> anyhow::Result<()> {
    let Cli::Command(command) = Cli::parse();
    match command {
        Command::Docs => print!("{}", configuration()),
        Command::Pages { folder } => pages(&folder)?,
    }
    Ok(())
}

fn pages(folder: &Path) -> anyhow::Result<()> {
    let (manual, completions) = (folder.join("man1"), folder.join("completions"));
    for folder in [&manual, &completions] {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    for mut program in programs() {
        let name = program.get_name().to_owned();
        clap_mangen::generate_to(program.clone(), &manual)?;
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            clap_complete::generate_to(shell, &mut program, &name, &completions)?;
        }
    }
    Ok(())
}
