//! The command line as a whole.

use std::path::PathBuf;

use anyhow::Context as _;
use armour_ambient::Ambient;
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::{
    access::Access, commands, data_folder::DataFolder, demo::Demo, dev::Dev, doctor::Doctor,
    party_keys::PartyKeys, profile::Profiles, support_bundle::SupportBundle, terminal, top::Top,
};

/// Armour's command line.
#[derive(Parser)]
#[command(name = "armour", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    folder: DataFolder,
    #[command(flatten)]
    access: Access,
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
    /// Find out what is wrong, and how to mend it.
    Doctor(Doctor),
    /// Collect what people who help need to see, without secrets.
    SupportBundle(SupportBundle),
    /// Watch pairs live.
    Top(Top),
    /// Control planes and tokens by name.
    #[command(subcommand)]
    Profiles(Profiles),
    /// Keys by which a party itself vouches for its endpoints.
    #[command(subcommand)]
    PartyKeys(PartyKeys),
    /// Print completions for a shell: `source <(armour completions bash)`.
    Completions { shell: Shell },
    /// Write manual pages into a folder, for example ~/.local/share/man/man1.
    Man { folder: PathBuf },
    #[command(flatten)]
    Resource(commands::Resource),
}

impl Cli {
    /// Does what was asked for.
    ///
    /// # Errors
    /// If it cannot be done.
    pub async fn run(self, ambient: &Ambient) -> anyhow::Result<()> {
        let data = self.folder.path();
        match self.command {
            Command::Dev(dev) => dev.run(data, &ambient.random).await,
            Command::Demo(demo) => demo.run(data, &self.access).await,
            Command::Doctor(doctor) => doctor.run(&data, &self.access, &ambient.clock).await,
            Command::SupportBundle(bundle) => bundle.run(&data, &self.access, &ambient.clock).await,
            Command::Top(top) => top.run(&data, &self.access).await,
            Command::Profiles(command) => command.run(self.access.output()?),
            Command::PartyKeys(command) => command.run(&data, &self.access, ambient).await,
            Command::Completions { shell } => {
                let mut command = Self::command();
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut command, "armour", &mut script);
                terminal::write(format_args!("{}", String::from_utf8_lossy(&script)))
            }
            Command::Man { folder } => {
                std::fs::create_dir_all(&folder)
                    .with_context(|| format!("create {}", folder.display()))?;
                clap_mangen::generate_to(Self::command(), &folder)
                    .with_context(|| format!("write into {}", folder.display()))
            }
            Command::Resource(resource) => commands::run(&data, &self.access, resource).await,
        }
    }
}
