//! `armour doctor`: what is wrong, and how to mend it.

mod agent;
mod control_plane;
mod findings;
mod tenant;

use std::path::Path;

use anyhow::bail;
use armour_ambient::Clock;
use clap::Args;

use self::findings::{Finding, Findings, State};
use crate::terminal::print_line;
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

impl Doctor {
    /// Checks everything that can be reached.
    ///
    /// # Errors
    /// If anything is broken.
    pub async fn run(self, data: &Path, access: &Access, clock: &Clock) -> anyhow::Result<()> {
        let output = access.output()?;
        let spinner = progress_spinner("looking");
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
        print_line!("{sign}  {:18} {}", one.check, plain(&one.found))?;
        if let Some(mend) = &one.mend {
            print_line!("{:28} -> {}", "", plain(mend))?;
        }
    }
    Ok(())
}
