//! Hosts of our own: each program in a network namespace, joined by a bridge, so that
//! what lies between them can be cut and slowed as a network is. Needs root.

use std::{
    net::Ipv4Addr,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};
use armour_cli::servers::user::is_root;

/// A bridge and its hosts; gone when dropped.
pub struct Network {
    name: String,
    hosts: Vec<String>,
}

/// Who has a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// The consumer's agent.
    Consumer,
    /// The producer's agent.
    Producer,
    /// A control plane.
    ControlPlane(usize),
    /// An agent of a fleet, by its number.
    Member(usize),
}

impl Network {
    /// Makes hosts for both agents and so many control planes.
    ///
    /// # Errors
    /// If we are not root, or the kernel has no such things.
    pub fn start(replicas: usize) -> anyhow::Result<Self> {
        let mut hosts = vec![Host::Consumer, Host::Producer];
        hosts.extend((0..replicas).map(Host::ControlPlane));
        Self::of(&hosts)
    }

    /// Makes these hosts.
    ///
    /// # Errors
    /// As above.
    pub fn of(hosts: &[Host]) -> anyhow::Result<Self> {
        if !is_root() {
            bail!("network namespaces need root");
        }
        let mut network = Self {
            name: format!("ar{}", std::process::id() % 100_000),
            hosts: Vec::new(),
        };
        let bridge = network.name.clone();
        ip(&["link", "add", &bridge, "type", "bridge"])?;
        let address = format!("{}/24", network.root());
        ip(&["addr", "add", &address, "dev", &bridge])?;
        ip(&["link", "set", &bridge, "up"])?;
        for &host in hosts {
            let name = network.namespace(host);
            ip(&["netns", "add", &name])?;
            network.hosts.push(name.clone());
            let (near, far) = (network.link(host), "eth0");
            ip(&[
                "link", "add", &near, "type", "veth", "peer", "name", far, "netns", &name,
            ])?;
            ip(&["link", "set", &near, "master", &bridge, "up"])?;
            let address = format!("{}/24", network.address(host));
            ip(&["-n", &name, "addr", "add", &address, "dev", far])?;
            ip(&["-n", &name, "link", "set", far, "up"])?;
            ip(&["-n", &name, "link", "set", "lo", "up"])?;
        }
        Ok(network)
    }

    /// Where the programs outside of every namespace are reached.
    pub fn root(&self) -> Ipv4Addr {
        // Of 10/8, by the process, so that two runs do not meet.
        let [high, low] = (std::process::id() as u16).to_be_bytes();
        Ipv4Addr::new(10, high, low, 1)
    }

    /// A host's address.
    pub fn address(&self, host: Host) -> Ipv4Addr {
        let [a, b, c, _] = self.root().octets();
        Ipv4Addr::new(a, b, c, number(host))
    }

    /// How a program is started on a host.
    pub fn on(&self, host: Host, program: &Path) -> tokio::process::Command {
        let mut command = tokio::process::Command::new("ip");
        command
            .args(["netns", "exec", &self.namespace(host)])
            .arg(program);
        command
    }

    /// Cuts a host off from everybody, or joins it again. Nobody is told: connections
    /// just fall silent.
    ///
    /// # Errors
    /// If the link cannot be changed.
    pub fn isolate(&self, host: Host, cut: bool) -> anyhow::Result<()> {
        let state = if cut { "down" } else { "up" };
        ip(&["link", "set", &self.link(host), state])
    }

    /// Cuts the agents off from each other alone, or joins them again.
    ///
    /// # Errors
    /// As above.
    pub fn part_agents(&self, cut: bool) -> anyhow::Result<()> {
        for host in [Host::Consumer, Host::Producer] {
            let state = if cut { "on" } else { "off" };
            run(
                "bridge",
                &["link", "set", "dev", &self.link(host), "isolated", state],
            )?;
        }
        Ok(())
    }

    /// Lets through to a host no more than some kilobits a second, or all again.
    ///
    /// # Errors
    /// As above.
    pub fn slow(&self, host: Host, slow: bool) -> anyhow::Result<()> {
        let link = self.link(host);
        match slow {
            true => run(
                "tc",
                &[
                    "qdisc", "add", "dev", &link, "root", "tbf", "rate", "800kbit", "burst",
                    "16kb", "latency", "400ms",
                ],
            ),
            false => run("tc", &["qdisc", "del", "dev", &link, "root"]),
        }
    }

    fn link(&self, host: Host) -> String {
        format!("{}-{}", self.name, number(host))
    }

    fn namespace(&self, host: Host) -> String {
        self.link(host)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in &self.hosts {
            let _ = ip(&["netns", "del", host]);
        }
        let _ = ip(&["link", "del", &self.name]);
    }
}

fn number(host: Host) -> u8 {
    match host {
        Host::Consumer => 2,
        Host::Producer => 3,
        Host::ControlPlane(place) => 10 + u8::try_from(place).unwrap_or(0),
        Host::Member(place) => 100 + u8::try_from(place).unwrap_or(0),
    }
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    run("ip", arguments)
}

fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{program}: install iproute2"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {}: {}", arguments.join(" "), said.trim());
    }
    Ok(())
}
