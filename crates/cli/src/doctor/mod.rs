//! `armour doctor`: what is wrong, and how to mend it.

mod addresses;
mod agent;
mod control_plane;
mod findings;
mod past_errors;
mod tenant;

use std::{fmt::Write as _, path::Path};

use anyhow::bail;
use armour_ambient::Clock;
use clap::Args;

pub(crate) use self::findings::Findings;
use self::findings::{Finding, State};
use crate::{
    access::Access,
    output::{Output, plain, progress_spinner},
    terminal,
};

/// Find out what is wrong, and how to mend it. Ends with an error if anything is broken.
#[derive(Debug, Args)]
pub struct Doctor {
    /// An agent's health listener, for example 127.0.0.1:7203; may be repeated.
    #[arg(long)]
    pub(crate) agent: Vec<String>,
    /// An agent's data folder; may be repeated.
    #[arg(long)]
    pub(crate) agent_data_dir: Vec<std::path::PathBuf>,
}

impl Doctor {
    /// Checks everything that can be reached.
    ///
    /// # Errors
    /// If anything is broken.
    pub async fn run(self, data: &Path, access: &Access, clock: &Clock) -> anyhow::Result<()> {
        let output = access.output()?;
        let spinner = progress_spinner("looking");
        let findings = self.look(data, access, clock).await;
        spinner.finish_and_clear();
        report(output, &findings.0)?;
        let broken = findings.0.iter().filter(|one| one.state == State::Broken);
        match broken.count() {
            0 => Ok(()),
            many => bail!("{many} of {} checks failed", findings.0.len()),
        }
    }

    /// Checks everything that can be reached.
    pub(crate) async fn look(&self, data: &Path, access: &Access, clock: &Clock) -> Findings {
        let mut findings = Findings::default();
        let reached = control_plane::check(&mut findings, data, access, clock).await;
        if let Some(server) = reached {
            tenant::check(&mut findings, data, access, &server, clock.now()).await;
        }
        for listener in &self.agent {
            agent::check_listener(&mut findings, listener).await;
        }
        for folder in &self.agent_data_dir {
            agent::check_folder(&mut findings, folder);
        }
        findings
    }
}

fn report(output: Output, findings: &[Finding]) -> anyhow::Result<()> {
    match output {
        Output::Json => output.print(&serde_json::to_value(findings)?, &[]),
        Output::Table => terminal::write(format_args!("{}", text(findings))),
    }
}

/// Findings for people.
pub(crate) fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for one in findings {
        let sign = match one.state {
            State::Ok => "ok     ",
            State::Warning => "warning",
            State::Broken => "BROKEN ",
            State::Skipped => "skipped",
        };
        let _ = writeln!(text, "{sign}  {:18} {}", one.check, plain(&one.found));
        if let Some(mend) = &one.mend {
            let _ = writeln!(text, "{:28} -> {}", "", plain(mend));
        }
    }
    text
}
