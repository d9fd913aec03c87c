//! `armour evidence`: the proof of a collision, for third parties.

use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use armour_transparency::evidence;
use clap::{Args, Subcommand};
use serde_json::json;
use uuid::Uuid;

use super::{Call, trust::Trust};
use crate::output::Output;

#[derive(Debug, Subcommand)]
#[allow(missing_docs, reason = "named as the routes are")]
pub enum Evidence {
    /// Write a collision's evidence to a file.
    Get { collision: Uuid, file: PathBuf },
    /// Check evidence without a server.
    Verify(Verify),
}

/// Evidence to check.
#[derive(Debug, Args)]
pub struct Verify {
    /// The evidence.
    file: PathBuf,
    #[command(flatten)]
    trust: Trust,
}

impl Call {
    pub(super) async fn evidence(&self, command: Evidence) -> anyhow::Result<()> {
        match command {
            Evidence::Get { collision, file } => {
                let path = format!("/v1/collisions/{collision}/evidence");
                let evidence: armour_api::Evidence = self.client.get(&path).await?;
                std::fs::write(&file, serde_json::to_vec_pretty(&evidence)?)
                    .with_context(|| file.display().to_string())?;
                self.show(&json!({ "file": file, "kind": evidence.collision.kind }))
            }
            Evidence::Verify(verify) => verify.run(self.output),
        }
    }
}

impl Verify {
    /// Checks the evidence.
    ///
    /// # Errors
    /// What does not hold.
    pub fn run(&self, output: Output) -> anyhow::Result<()> {
        let trusted = self.trust.key()?;
        let bytes = std::fs::read(&self.file).with_context(|| self.file.display().to_string())?;
        let evidence: armour_api::Evidence =
            serde_json::from_slice(&bytes).context("the file is not a collision's evidence")?;
        let shown = evidence::check(&evidence, trusted.as_ref()).map_err(|why| anyhow!(why))?;
        if output == Output::Json {
            let said = json!({ "proven": shown.proven, "checked": shown.checked,
                "rests_on": shown.rests_on });
            return output.print(&said, &[]);
        }
        for checked in &shown.checked {
            println!("holds     {checked}");
        }
        for word in &shown.rests_on {
            println!("rests on  {word}");
        }
        println!(
            "{}",
            match shown.proven {
                true => "PROVEN: somebody else held the consumer's state.",
                false => "The evidence holds, but does not prove the collision by itself.",
            }
        );
        Ok(())
    }
}
