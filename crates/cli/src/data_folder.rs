//! The folder of `armour dev`, which other commands read.

use std::path::{Path, PathBuf};

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
        self.data_dir.clone().unwrap_or_else(|| fallback().into())
    }
}

/// What other commands need to be told to use the folder, in a shell's words: nothing if it is
/// what they use by default.
pub fn option_for(folder: &Path) -> String {
    if Path::new(fallback())
        .canonicalize()
        .is_ok_and(|usual| usual == folder)
    {
        return String::new();
    }
    let quoted = folder.display().to_string().replace('\'', r"'\''");
    format!(" --data-dir '{quoted}'")
}

fn fallback() -> &'static str {
    if is_root() {
        "/var/lib/armour"
    } else {
        ".armour"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_of_a_folder_that_they_do_not_use_by_default() {
        let option = option_for(Path::new("/srv/it's here"));
        assert_eq!(option, r" --data-dir '/srv/it'\''s here'");
    }
}
