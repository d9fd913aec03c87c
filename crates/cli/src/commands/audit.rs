//! `armour audit`: the log, its export, and the check of an export without a
//! server.

use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
};

use anyhow::Context as _;
use armour_client::AuditFilter;
use armour_transparency::export::Verifier;
use clap::{Args, Subcommand};
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::{operator::Operator, trust::Trust};
use crate::output::Output;
use crate::terminal::complain;

/// `armour audit`.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// List entries, latest first.
    List {
        /// Of this actor, for example token:<id>.
        #[arg(long)]
        actor: Option<String>,
        /// Actions that begin so, for example pair.
        #[arg(long)]
        action: Option<String>,
        /// On this target.
        #[arg(long)]
        target: Option<String>,
    },
    /// Show the latest signed head of the log's tree.
    Head,
    /// Show an entry and the proof that it is in the tree.
    Proof { seq: i64 },
    /// Show the proof that a later tree begins with an earlier one.
    Consistency {
        /// Size of the earlier tree, at least 1.
        #[arg(long)]
        first: u64,
        /// Size of the later tree; the latest if absent.
        #[arg(long)]
        size: Option<u64>,
    },
    /// Write the whole log to a file.
    Export {
        file: PathBuf,
        /// Begin with this entry.
        #[arg(long)]
        from: Option<i64>,
    },
    /// Replace the key that signs the log. The old key vouches for the new one, so agents
    /// and verifiers that know it follow.
    RotateKey {
        /// Why; kept in the log.
        #[arg(long)]
        reason: String,
    },
    /// Check an export without a server: names the first entry that was altered,
    /// removed or moved.
    Verify(Verify),
}

/// An export to check.
#[derive(Debug, Args)]
pub struct Verify {
    /// The export.
    file: PathBuf,
    #[command(flatten)]
    trust: Trust,
}

impl Audit {
    pub(super) async fn run(self, operator: &Operator) -> anyhow::Result<()> {
        let client = &operator.client;
        match self {
            Self::List {
                actor,
                action,
                target,
            } => {
                let filter = AuditFilter {
                    actor,
                    action,
                    target,
                };
                let columns = ["seq", "created_at", "actor", "action", "target"];
                operator.pages(client.audit(&filter), &columns).await
            }
            Self::Head => operator.show(client.audit_head()).await,
            Self::Proof { seq } => operator.show(client.inclusion_proof(seq)).await,
            Self::Consistency { first, size } => {
                operator.show(client.consistency_proof(first, size)).await
            }
            Self::RotateKey { reason } => operator.show(client.rotate_log_key(&reason)).await,
            Self::Export { file, from } => export(operator, file, from).await,
            Self::Verify(verify) => verify.run(operator.output),
        }
    }
}

impl Verify {
    /// Checks the export.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn run(&self, output: Output) -> anyhow::Result<()> {
        let trusted = self.trust.key()?;
        let file = File::open(&self.file).with_context(|| self.file.display().to_string())?;
        let bar = progress("checked", 0)?;
        let mut lines = BufReader::new(file).lines();
        let first = lines.next().context("the file is empty")??;
        let mut verifier = Verifier::begin(&first, trusted.as_ref())?;
        for line in lines {
            verifier.line(&line.context("the file is not text")?)?;
            bar.inc(1);
        }
        let verified = verifier.finish()?;
        bar.finish_and_clear();
        if trusted.is_none() {
            complain!(
                "checked against the keys that the export names itself; give the one you know \
                 with --log-key"
            );
        }
        if !verified.map {
            complain!(
                "what the log says of endpoints is not checked: that takes an export from entry 1, of \
                 a log that has always had a map"
            );
        }
        let said = json!({ "verified": true, "first": verified.first,
            "entries": verified.entries, "head": verified.head.root, "map": verified.map });
        output.print(&said, &[])
    }
}

async fn export(operator: &Operator, file: PathBuf, from: Option<i64>) -> anyhow::Result<()> {
    let export = operator.client.audit_export(from).await?;
    let entries = export.entries();
    let bar = progress("exported", entries.unwrap_or(0))?;
    // Whole or not at all: an export cut short must not look like one.
    let partial = file.with_extension("partial");
    let mut out = File::create(&partial).with_context(|| partial.display().to_string())?;
    let mut chunks = export.bytes();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.context("the export was cut short")?;
        let lines = chunk.iter().filter(|byte| **byte == b'\n').count();
        bar.inc(lines as u64);
        out.write_all(&chunk)?;
    }
    out.sync_all()?;
    std::fs::rename(&partial, &file)?;
    bar.finish_and_clear();
    operator.say(&json!({ "file": file, "entries": entries }))
}

fn progress(done: &str, entries: u64) -> anyhow::Result<ProgressBar> {
    let bar = if entries > 0 {
        let bar = ProgressBar::new(entries);
        bar.set_style(ProgressStyle::with_template(&format!(
            "{{bar:30}} {{pos}}/{{len}} entries {done}, {{eta}} left"
        ))?);
        bar
    } else {
        let bar = ProgressBar::new_spinner();
        bar.set_style(ProgressStyle::with_template(&format!(
            "{{spinner}} {{pos}} entries {done}"
        ))?);
        bar
    };
    Ok(bar)
}
