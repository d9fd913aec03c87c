//! `armour doctor`: what is wrong, and how to mend it.

mod agent;
mod control_plane;
mod tenant;

use std::path::Path;

use anyhow::bail;
use clap::Args;
use serde::Serialize;

use crate::{
    access::Access,
    output::{Output, plain, progress_spinner},
};

/// Find out what is wrong, and how to mend it. Ends with an error if anything is broken.
#[derive(Debug, Args)]
pub struct Doctor {
    /// An agent's health listener, for example 127.0.0.1:7203; may be repeated.
    #[arg(long)]
    agent: Vec<String>,
    /// An agent's data folder; may be repeated.
    #[arg(long)]
    agent_data_dir: Vec<std::path::PathBuf>,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// It works, and will not for ever, or less safely.
    Warning,
    /// It does not work.
    Broken,
    /// Nothing could be found out.
    Skipped,
}

/// What one check found.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// What.
    check: &'static str,
    /// How it is.
    state: State,
    /// What was seen.
    found: String,
    /// What to do.
    mend: Option<String>,
}

/// Findings, in order.
#[derive(Default)]
pub struct Findings(Vec<Finding>);

impl Findings {
    fn ok(&mut self, check: &'static str, found: impl Into<String>) {
        self.push(check, State::Ok, found, None);
    }

    fn warning(&mut self, check: &'static str, found: impl Into<String>, mend: &str) {
        self.push(check, State::Warning, found, Some(mend));
    }

    fn broken(&mut self, check: &'static str, found: impl Into<String>, mend: &str) {
        self.push(check, State::Broken, found, Some(mend));
    }

    fn skipped(&mut self, check: &'static str, found: impl Into<String>) {
        self.push(check, State::Skipped, found, None);
    }

    fn push(
        &mut self,
        check: &'static str,
        state: State,
        found: impl Into<String>,
        mend: Option<&str>,
    ) {
        self.0.push(Finding {
            check,
            state,
            found: found.into(),
            mend: mend.map(str::to_owned),
        });
    }
}

impl Doctor {
    /// Checks everything that can be reached.
    ///
    /// # Errors
    /// If anything is broken.
    pub async fn run(self, data: &Path, access: &Access) -> anyhow::Result<()> {
        let output = access.output()?;
        let spinner = progress_spinner("looking");
        let mut findings = Findings::default();
        let reached = control_plane::check(&mut findings, data, access).await;
        if let Some(server) = reached {
            tenant::check(&mut findings, data, access, &server).await;
        }
        for listener in &self.agent {
            agent::check_listener(&mut findings, listener).await;
        }
        for folder in &self.agent_data_dir {
            agent::check_folder(&mut findings, folder);
        }
        spinner.finish_and_clear();
        report(output, &findings.0)?;
        let broken = findings.0.iter().filter(|one| one.state == State::Broken);
        match broken.count() {
            0 => Ok(()),
            many => bail!("{many} of {} checks failed", findings.0.len()),
        }
    }
}

fn report(output: Output, findings: &[Finding]) -> anyhow::Result<()> {
    if output == Output::Json {
        return output.print(&serde_json::to_value(findings)?, &[]);
    }
    for one in findings {
        let sign = match one.state {
            State::Ok => "ok     ",
            State::Warning => "warning",
            State::Broken => "BROKEN ",
            State::Skipped => "skipped",
        };
        println!("{sign}  {:18} {}", one.check, plain(&one.found));
        if let Some(mend) = &one.mend {
            println!("{:28} -> {}", "", plain(mend));
        }
    }
    Ok(())
}
