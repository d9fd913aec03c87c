//! `armour audit`: the log, its export, and the check of an export without a
//! server.

use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
};

use anyhow::Context as _;
use armour_transparency::export::Verifier;
use clap::{Args, Subcommand};
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::{Call, trust::Trust};
use crate::output::Output;

#[derive(Debug, Subcommand)]
#[allow(missing_docs, reason = "named as the routes are")]
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

impl Call {
    pub(super) async fn audit(&self, command: Audit) -> anyhow::Result<()> {
        match command {
            Audit::List {
                actor,
                action,
                target,
            } => {
                let mut query = url::form_urlencoded::Serializer::new(String::new());
                for (name, value) in [("actor", actor), ("action", action), ("target", target)] {
                    if let Some(value) = value {
                        query.append_pair(name, &value);
                    }
                }
                let columns = ["seq", "created_at", "actor", "action", "target"];
                self.list(&format!("/v1/audit?{}", query.finish()), &columns)
                    .await
            }
            Audit::Head => self.get("/v1/audit/head").await,
            Audit::Proof { seq } => self.get(&format!("/v1/audit/{seq}/proof")).await,
            Audit::Consistency { first, size } => {
                let size = size.map_or_else(String::new, |size| format!("&size={size}"));
                self.get(&format!("/v1/audit/consistency?first={first}{size}"))
                    .await
            }
            Audit::Export { file, from } => self.export(file, from).await,
            Audit::Verify(verify) => verify.run(self.output),
        }
    }

    async fn export(&self, file: PathBuf, from: Option<i64>) -> anyhow::Result<()> {
        let path = match from {
            Some(from) => format!("/v1/audit/export?from={from}"),
            None => "/v1/audit/export".to_owned(),
        };
        let answer = self.client.stream(&path).await?;
        let entries = answer
            .headers()
            .get("x-armour-entries")
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let bar = progress("exported", entries.unwrap_or(0))?;
        // Whole or not at all: an export cut short must not look like one.
        let partial = file.with_extension("partial");
        let mut out = File::create(&partial).with_context(|| partial.display().to_string())?;
        let mut chunks = answer.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.context("the export was cut short")?;
            let lines = chunk.iter().filter(|byte| **byte == b'\n').count();
            bar.inc(lines as u64);
            out.write_all(&chunk)?;
        }
        out.sync_all()?;
        std::fs::rename(&partial, &file)?;
        bar.finish_and_clear();
        self.show(&json!({ "file": file, "entries": entries }))
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
            eprintln!(
                "checked against the key that the export names itself; give the one you know \
                 with --log-key"
            );
        }
        let said = json!({ "verified": true, "first": verified.first,
            "entries": verified.entries, "head": verified.head.root });
        output.print(&said, &[])
    }
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
