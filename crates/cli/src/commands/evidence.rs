//! `armour evidence`: the proof of a collision, for third parties.

use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use armour_transparency::evidence;
use clap::{Args, Subcommand};
use serde_json::json;
use uuid::Uuid;

use super::{operator::Operator, trust::Trust};
use crate::output::Output;
use crate::terminal::print_line;

/// `armour evidence`.
#[derive(Debug, Subcommand)]
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

impl Evidence {
    pub(super) async fn run(self, operator: &Operator) -> anyhow::Result<()> {
        match self {
            Self::Get { collision, file } => {
                let evidence = operator.client.evidence(collision).await?;
                std::fs::write(&file, serde_json::to_vec_pretty(&evidence)?)
                    .with_context(|| file.display().to_string())?;
                operator.say(&json!({ "file": file, "kind": evidence.collision.kind }))
            }
            Self::Verify(verify) => verify.run(operator.output),
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
            print_line!("holds     {checked}")?;
        }
        for word in &shown.rests_on {
            print_line!("rests on  {word}")?;
        }
        match shown.proven {
            true => print_line!(
                "PROVEN: somebody else held the {}'s state.",
                evidence.collision.role.into_str()
            )?,
            false => {
                print_line!("The evidence holds, but does not prove the collision by itself.")?
            }
        }
        Ok(())
    }
}
