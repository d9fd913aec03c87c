//! The folder of `armour dev`, which other commands read.

use std::path::PathBuf;

use clap::Args;

use crate::servers::user::is_root;

/// Where `armour dev` keeps its data.
#[derive(Debug, Clone, Args)]
pub struct DataFolder {
    /// Where data is kept; `/var/lib/armour` for root, `.armour` for others.
    #[arg(long, env = "ARMOUR_DATA_DIR", global = true)]
    data_dir: Option<PathBuf>,
}

impl DataFolder {
    /// The folder, whether given or by default.
    pub fn path(&self) -> PathBuf {
        let fallback = if is_root() {
            "/var/lib/armour"
        } else {
            ".armour"
        };
        self.data_dir.clone().unwrap_or_else(|| fallback.into())
    }
}
