//! One agent of a fleet: a process with a folder, an identity and a port of its own.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

use armour_api::Role;
use tokio::process::Command;

use crate::{
    network::{Host, Network},
    process::{Process, free_port, program, until},
};

/// An agent that runs.
pub struct Member {
    /// The name of its endpoint.
    pub name: String,
    /// Where it takes calls: applications' or consumers' agents'.
    pub address: SocketAddr,
    pub process: Process,
    health: SocketAddr,
}

/// What to start.
pub struct Recipe {
    pub role: Role,
    pub name: String,
    pub folder: PathBuf,
    /// An enrolment token.
    pub token: String,
    pub control: String,
    /// The host that it has of its own.
    pub host: Option<(Arc<Network>, Host)>,
    /// What it is told besides.
    pub rest: Vec<String>,
}

impl Recipe {
    /// Starts it.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(self) -> anyhow::Result<Member> {
        std::fs::create_dir_all(&self.folder)?;
        let token = self.folder.join("token");
        std::fs::write(&token, &self.token)?;
        let ip = match &self.host {
            Some((network, host)) => network.address(*host),
            None => Ipv4Addr::LOCALHOST,
        };
        let address = SocketAddr::from((ip, free_port()?));
        let health = SocketAddr::from((ip, free_port()?));
        let log = self.folder.join("log");
        let (name, program) = (self.name.clone(), program("armour-agent")?);
        let process = Process::start("an agent", log, move || {
            let mut command = self.command(&program);
            command
                .env("ARMOUR_LOG", LOG)
                .arg(self.role.into_str())
                .args(["--control-plane", &self.control, "--name", &self.name])
                .arg("--data-dir")
                .arg(self.folder.join("data"))
                .arg("--enrol-token-file")
                .arg(&token)
                .args(["--listen", &address.to_string()])
                .args(["--health-listen", &health.to_string()])
                .args(&self.rest);
            command
        })?;
        Ok(Member {
            name,
            address,
            process,
            health,
        })
    }

    fn command(&self, program: &Path) -> Command {
        match &self.host {
            Some((network, host)) => network.on(*host, program),
            None => Command::new(program),
        }
    }
}

impl Member {
    /// Where applications call.
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until it says that it is ready, as a supervisor does.
    ///
    /// # Errors
    /// If it does not.
    pub async fn until_ready(&self, http: &reqwest::Client) -> anyhow::Result<()> {
        let url = format!("http://{}/ready", self.health);
        until(&format!("{} to be ready", self.name), || async {
            let answer = http.get(&url).send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        })
        .await
    }
}

/// What agents write down.
const LOG: &str = "info,armour_endpoint=debug";
