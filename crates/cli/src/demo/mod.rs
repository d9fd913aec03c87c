//! `armour demo`: demonstrations on a running `armour dev`.

mod clone;
mod enrol;
mod summary;
mod thief;

use std::path::PathBuf;

use clap::Subcommand;

use self::clone::CloneDemo;
use crate::access::Access;

/// Demonstrations on a running `armour dev`.
#[derive(Debug, Subcommand)]
pub enum Demo {
    /// Copy the consumer's state into a second process and let both act.
    Clone(CloneDemo),
    /// Enrol the consumer anew, as people do after a collision has ended its identity.
    Enrol,
}

impl Demo {
    /// Runs a demonstration.
    ///
    /// # Errors
    /// If `armour dev` is not running, or a collision was missed.
    pub async fn run(self, data: PathBuf, access: &Access) -> anyhow::Result<()> {
        match self {
            Self::Clone(demo) => demo.run(data, access).await,
            Self::Enrol => enrol::run(&data, access).await,
        }
    }
}
