//! The key that a reader of the audit log trusts.

use anyhow::anyhow;
use armour_transparency::head::public_key;
use clap::Args;
use ed25519_dalek::VerifyingKey;

/// The log's key as the reader knows it.
#[derive(Debug, Args)]
pub struct Trust {
    /// A key of the log as you know it, present or earlier, 32 bytes in base64. Without it
    /// what is checked vouches for itself alone.
    #[arg(long)]
    log_key: Option<String>,
}

impl Trust {
    /// The key, if one is given.
    ///
    /// # Errors
    /// If it is none.
    pub fn key(&self) -> anyhow::Result<Option<VerifyingKey>> {
        let key = self.log_key.as_deref().map(|text| public_key(text.trim()));
        key.transpose().map_err(|why| anyhow!("--log-key: {why}"))
    }
}
