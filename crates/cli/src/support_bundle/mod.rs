//! `armour support-bundle`: what people who help need to see, in one archive, without secrets.

mod agent;
mod archive;
mod control_plane;
mod here;
mod redact;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use armour_ambient::Clock;
use clap::Args;

use self::{archive::Archive, redact::Redactor};
use crate::{
    access::{Access, As},
    doctor::{self, Doctor},
    terminal::{complain, print_line},
};

/// Collect what people who help need to see into an archive (tar, gzip) that only its owner may
/// read: doctor's findings, versions, configuration, lists of pairs and endpoints, the audit
/// log's last entries, metrics, and of agents their files and logs. Secrets are left out; look
/// through it all the same before you hand it on, as names, addresses and paths are in it.
#[derive(Debug, Args)]
pub struct SupportBundle {
    /// Where to write it; armour-support-<time>.tar.gz if absent. A file that exists is not
    /// replaced.
    file: Option<PathBuf>,
    /// An agent's health listener, for example 127.0.0.1:7203, for its standing and its metrics;
    /// may be repeated.
    #[arg(long)]
    agent: Vec<String>,
    /// An agent's data folder: of its files those without secrets, of the others names and sizes;
    /// may be repeated.
    #[arg(long)]
    agent_data: Vec<PathBuf>,
    /// A log of an agent, a control plane or of calls, of which the end is taken; may be repeated.
    #[arg(long)]
    log: Vec<PathBuf>,
    /// A listener that serves `/metrics`, for example a control plane's; may be repeated.
    #[arg(long)]
    metrics: Vec<String>,
    /// How many of the audit log's last entries are taken.
    #[arg(long, default_value_t = 200)]
    audit_entries: usize,
}

impl SupportBundle {
    /// Collects what can be had, and lists what cannot.
    ///
    /// # Errors
    /// If the archive cannot be written.
    pub async fn run(self, data: &Path, access: &Access, clock: &Clock) -> anyhow::Result<()> {
        let name = format!("armour-support-{}", clock.now().format("%Y%m%dT%H%M%SZ"));
        let file = match &self.file {
            Some(file) => file.clone(),
            None => PathBuf::from(format!("{name}.tar.gz")),
        };
        // Before anything is collected: it may not be allowed.
        let target =
            archive::create(&file).with_context(|| format!("create {}", file.display()))?;
        let mut archive = Archive::new(name, redactor(data, access), clock.now());
        complain!("doctor");
        self.doctor(&mut archive, data, access, clock).await;
        complain!("versions and configuration");
        here::collect(&mut archive, data, access);
        complain!("the control plane");
        control_plane::collect(&mut archive, data, access, self.audit_entries).await;
        for listener in &self.metrics {
            complain!("metrics of {listener}");
            agent::metrics(&mut archive, listener).await;
        }
        for listener in &self.agent {
            complain!("the agent at {listener}");
            agent::standing(&mut archive, listener).await;
            agent::metrics(&mut archive, listener).await;
        }
        for folder in &self.agent_data {
            complain!("{}", folder.display());
            agent::files(&mut archive, folder);
        }
        for log in &self.log {
            complain!("the end of {}", log.display());
            agent::log(&mut archive, log);
        }
        let missing = archive.missing();
        archive
            .write(target)
            .with_context(|| format!("write {}", file.display()))?;
        match missing {
            0 => complain!("all of it was there"),
            some => complain!("{some} parts could not be had: see missing.txt in it"),
        }
        print_line!("{}", file.display())
    }

    async fn doctor(&self, archive: &mut Archive, data: &Path, access: &Access, clock: &Clock) {
        let doctor = Doctor {
            agent: self.agent.clone(),
            agent_data_dir: self.agent_data.clone(),
        };
        let findings = doctor.look(data, access, clock).await;
        archive.text("doctor.txt", &doctor::text(&findings.0));
        archive.json("doctor.json", serde_json::to_value(&findings.0));
    }
}

/// Knows the secrets that this program itself is given.
fn redactor(data: &Path, access: &Access) -> Redactor {
    let tokens = [As::Operator, As::Platform].map(|role| access.token(data, role).ok());
    Redactor::new(tokens.into_iter().flatten())
}
