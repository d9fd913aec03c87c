//! `armour party-keys create`, `public`: a key, and its public half.

use std::path::PathBuf;

use armour_ambient::Random;
use clap::Args;
use serde_json::json;

use super::{encoding::to_base64, key_file};
use crate::output::Output;

/// Makes a key: a party's, or one that is to be certified by a party's.
#[derive(Debug, Args)]
pub struct Create {
    /// The new file: PKCS #8 in PEM, for its owner alone. One that exists is left as it is.
    file: PathBuf,
}

/// Shows the public half of a key.
#[derive(Debug, Args)]
pub struct Public {
    /// The key's file.
    file: PathBuf,
}

impl Create {
    pub(super) fn run(self, output: Output, random: &Random) -> anyhow::Result<()> {
        let key = key_file::create(&self.file, random)?;
        let public = to_base64(key.verifying_key());
        output.print(&json!({ "file": self.file, "public_key": public }), &[])
    }
}

impl Public {
    pub(super) fn run(self, output: Output) -> anyhow::Result<()> {
        let public = to_base64(key_file::read(&self.file)?.verifying_key());
        output.print(&json!({ "public_key": public }), &[])
    }
}
