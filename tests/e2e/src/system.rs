//! One tenant, one pair, all processes.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use armour_api::{Collision, NewPair, Page, Policy, Role};
use armour_cli::servers::{
    nginx::Nginx,
    postgres::{Postgres, Urls},
};
use armour_client::Client;
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokio::process::Command;
use uuid::Uuid;

use crate::{
    disk::Disk,
    hop::Hop,
    network::{Host, Network},
    process::{Process, free_port, knows, program, until},
};

/// Debian's library that tells a program another time.
const LIBFAKETIME: &str = "/usr/$LIB/faketime/libfaketimeMT.so.1";
/// What the names of endpoints begin with that nobody copies or cuts.
pub(crate) const BYSTANDER: &str = "bystander-";
pub(crate) const PLATFORM: &str = "platform-token-of-the-end-to-end-tests";

/// Everything, running.
pub struct System {
    /// The consumer's agent.
    pub consumer: Process,
    /// The producer's agent.
    pub producer: Process,
    /// Agents of both sides that nobody copies or cuts.
    pub bystanders: Vec<Process>,
    /// The control planes; agents call the first, or a balancer before them all.
    pub control_planes: Vec<Process>,
    /// Where each of them listens.
    pub replicas: Vec<String>,
    /// Before several control planes.
    pub balancer: Option<Nginx>,
    /// The upstream.
    pub nginx: Nginx,
    /// The upstream's port on 127.0.0.1.
    pub upstream: u16,
    /// The hop between the agents.
    pub hop: Hop,
    /// PostgreSQL.
    pub postgres: Postgres,
    /// The way to it, as a service that follows the primary is.
    pub database: Hop,
    /// Where applications call.
    pub base: String,
    /// Where the producer's agent listens.
    pub producer_address: SocketAddr,
    /// Where agents call the control plane.
    pub control: String,
    /// With the operator's token.
    pub operator: Client,
    /// The pair.
    pub pair: Uuid,
    /// For applications' calls.
    pub http: reqwest::Client,
    /// The programs' hosts, if each has one of its own.
    pub network: Option<Arc<Network>>,
    /// PostgreSQL's disk, if it has one of its own.
    pub disk: Option<Disk>,
    /// The consumer's agent re-keys streams; so does a copy of it.
    pub rekeys_streams: bool,
    /// Endpoints whose identity has ended and that were enrolled anew.
    pub ended: BTreeSet<Uuid>,
    dir: TempDir,
}

/// A policy whose intervals suit tests.
pub fn brisk() -> Policy {
    Policy {
        report_interval_ms: 20,
        heartbeat_interval_ms: 500,
        empty_exchange_interval_ms: 2_000,
        lease_ms: 30_000,
        ..Policy::default()
    }
}

/// What to start.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The pair's policy.
    pub policy: Policy,
    /// How many control planes, with nginx before them if there are several.
    pub replicas: usize,
    /// Minutes that clocks are off: one control plane's each in turn, then the
    /// consumer's and the producer's; 0 after the last.
    pub clocks: Vec<i32>,
    /// Milliseconds that a control plane serves on after SIGTERM.
    pub drain_delay_ms: u64,
    /// Settings of PostgreSQL besides the defaults.
    pub postgres: Vec<(&'static str, String)>,
    /// What agents log.
    pub agents_log: &'static str,
    /// No hop between the agents: nothing can be cut or delayed, nor does it cost.
    pub direct: bool,
    /// The consumer's agent hands its state to whoever asks at `export.sock`, the producer's
    /// at `producer-export.sock`.
    pub exports: bool,
    /// Each program on a host of its own, and PostgreSQL on a disk of its own. Needs root.
    pub apart: bool,
    /// The consumer's agent re-keys streams while they flow.
    pub rekey_streams: bool,
    /// Endpoints of each side besides the one that is tried; the producers' are reached directly.
    pub bystanders: usize,
    /// Seconds that the consumer's agent tries for a caller.
    pub retry_for: u64,
    /// Logs are written as JSON.
    pub json_logs: bool,
    /// A collector of OpenTelemetry that everything is sent to.
    pub collector: Option<String>,
    /// The folder of the programs to start, if not this workspace's.
    pub programs: Option<PathBuf>,
    /// An upstream of the run's own in nginx's place; it answers `/echo`, too.
    pub upstream: Option<SocketAddr>,
    /// The upstream is spoken to in HTTP/2.
    pub upstream_http2: bool,
    /// Which programs behave as those of a later release.
    pub releases: Releases,
}

/// How programs differ from this release, as `ARMOUR_OTHER_RELEASE` says it; not if that is none.
#[derive(Debug, Clone, Copy, Default)]
pub struct Releases {
    /// Control planes.
    pub control_plane: Option<&'static str>,
    /// The consumer's agent.
    pub consumer: Option<&'static str>,
    /// The producer's agent.
    pub producer: Option<&'static str>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            policy: brisk(),
            replicas: 1,
            clocks: Vec::new(),
            drain_delay_ms: 0,
            postgres: Vec::new(),
            agents_log: "debug,hyper=info,hyper_util=info,h2=info,reqwest=info",
            direct: false,
            exports: false,
            apart: false,
            rekey_streams: false,
            bystanders: 0,
            retry_for: 30,
            json_logs: false,
            collector: None,
            programs: None,
            upstream: None,
            upstream_http2: false,
            releases: Releases::default(),
        }
    }
}

impl Setup {
    /// A command on its host, with a clock that is off.
    fn command(&self, program: &Path, network: Option<&Network>, host: Host) -> Command {
        let mut command = match network {
            Some(network) => network.on(host, program),
            None => Command::new(program),
        };
        let place = match host {
            Host::ControlPlane(place) => place,
            Host::Consumer => self.replicas,
            Host::Producer => self.replicas + 1,
            Host::Member(place) => self.replicas + 2 + place,
        };
        if let Some(minutes) = self.clocks.get(place).filter(|minutes| **minutes != 0) {
            command
                .env("LD_PRELOAD", LIBFAKETIME)
                .env("FAKETIME", format!("{minutes:+}m"))
                .env("DONT_FAKE_MONOTONIC", "1")
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        let release = match host {
            Host::ControlPlane(_) => self.releases.control_plane,
            Host::Consumer => self.releases.consumer,
            Host::Producer | Host::Member(_) => self.releases.producer,
        };
        if let Some(release) = release {
            command.env("ARMOUR_OTHER_RELEASE", release);
        }
        if self.json_logs {
            command.env("ARMOUR_LOG_FORMAT", "json");
        }
        if let Some(collector) = &self.collector {
            command
                .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector)
                .env("OTEL_METRIC_EXPORT_INTERVAL", "500")
                .env("OTEL_BSP_SCHEDULE_DELAY", "200");
        }
        command
    }

    fn program(&self, name: &str) -> anyhow::Result<PathBuf> {
        match &self.programs {
            Some(folder) => Ok(folder.join(name)),
            None => program(name),
        }
    }
}

impl System {
    /// Starts everything with a policy and waits for the first protected call.
    ///
    /// # Errors
    /// If a part does not start.
    pub async fn start(policy: Policy) -> anyhow::Result<Self> {
        let setup = Setup {
            policy,
            ..Setup::default()
        };
        Self::set_up(setup).await
    }

    /// Starts everything and waits for the first protected call.
    ///
    /// # Errors
    /// If a part does not start.
    pub async fn set_up(setup: Setup) -> anyhow::Result<Self> {
        let system = Self::begin(setup).await?;
        system.until_served().await?;
        Ok(system)
    }

    /// Starts everything, whether calls are served or not.
    ///
    /// # Errors
    /// As [`System::set_up`].
    pub async fn begin(setup: Setup) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("armour-e2e").tempdir()?;
        // PostgreSQL's and nginx's users must be able to pass through.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711))?;
        let at = dir.path();
        let (network, disk) = match setup.apart {
            true => (
                Some(Arc::new(Network::start(setup.replicas)?)),
                Some(Disk::mount(&at.join("postgres"))?),
            ),
            false => (None, None),
        };
        let host = |host| match &network {
            Some(network) => network.address(host),
            None => Ipv4Addr::LOCALHOST,
        };
        let root = network
            .as_ref()
            .map_or(Ipv4Addr::LOCALHOST, |net| net.root());
        let postgres = Postgres::start(&at.join("postgres"), free_port()?).await?;
        for (name, value) in &setup.postgres {
            let statement = format!("ALTER SYSTEM SET {name} = '{value}'");
            postgres.sql(&statement).await?;
        }
        if !setup.postgres.is_empty() {
            postgres.crash().await?;
        }
        let database = format!("127.0.0.1:{}", postgres.port()).parse()?;
        let database = Hop::start_at(root, database).await?;
        let upstream = free_port()?;
        let nginx = Nginx::start(&at.join("upstream"), upstream).await?;
        let urls = Urls::at(&database.address().to_string(), "armour");
        std::fs::write(at.join("master-key"), "5a".repeat(32))?;
        std::fs::write(at.join("platform-token"), PLATFORM)?;
        let (mut control_planes, mut replicas) = (Vec::new(), Vec::new());
        for place in 0..setup.replicas {
            let listen = format!("{}:{}", host(Host::ControlPlane(place)), free_port()?);
            let log = at.join(format!("control-plane-{place}.log"));
            let command = control_plane(at, &setup, &network, place, &listen, &urls)?;
            control_planes.push(Process::start("control plane", log, command)?);
            replicas.push(listen);
        }
        let (balancer, control) = match &replicas[..] {
            [only] => (None, format!("http://{only}")),
            several => {
                let port = free_port()?;
                let http = balance(port, several);
                let nginx = Nginx::start_with(&at.join("balancer"), port, &http).await?;
                (Some(nginx), format!("http://127.0.0.1:{port}"))
            }
        };
        let platform = Client::new(&control, PLATFORM)?;
        until("the control plane", || async {
            platform.ready().await.is_ok()
        })
        .await?;
        let (operator, pair) = register(&platform, "tests", setup.policy.clone(), at).await?;
        // Whoever is on a host of its own reaches the others by the root's address.
        let way = async |url: String| match &network {
            None => anyhow::Ok(url),
            Some(network) => {
                let to = url.trim_start_matches("http://").parse()?;
                let hop = Hop::start_at(network.root(), to).await?;
                Ok(format!("http://{}", hop.address()))
            }
        };
        let control = way(control).await?;
        let upstream_url = match setup.upstream {
            Some(own) => format!("http://{own}"),
            None => format!("http://127.0.0.1:{upstream}"),
        };
        let upstream_url = way(upstream_url).await?;
        let address = host(Host::Producer);
        let producer_address: SocketAddr = format!("{address}:{}", free_port()?).parse()?;
        let mut arguments = vec![
            "--listen".into(),
            producer_address.to_string(),
            "--upstream".into(),
            upstream_url.clone(),
        ];
        let hop = Hop::start(producer_address).await?;
        if setup.bystanders > 0 {
            // Each is reached at an address of its own.
            arguments.extend(["--address".into(), format!("http://{}", hop.address())]);
        }
        if setup.upstream_http2 {
            arguments.push("--upstream-http2".into());
        }
        if setup.exports {
            arguments.push("--insecure-export".into());
            arguments.push(at.join("producer-export.sock").display().to_string());
        }
        let producer = agent(at, &setup, &network, &control, Role::Producer, arguments)?;
        let bystanders = bystanders(at, &setup, &control, &operator, pair, &upstream_url).await?;
        let listen = format!("{}:{}", host(Host::Consumer), free_port()?);
        let via = match setup.direct {
            true => producer_address,
            false => hop.address(),
        };
        let mut arguments = vec![
            "--listen".into(),
            listen.clone(),
            "--retry-for".into(),
            setup.retry_for.to_string(),
            // The machine may be busy.
            "--lane-wait-ms".into(),
            "10000".into(),
        ];
        if setup.bystanders == 0 {
            arguments.extend(["--via".into(), format!("http://{via}")]);
        }
        let option = "--rekey-streams";
        if setup.rekey_streams && knows(&setup.program("armour-agent")?, "consumer", option)? {
            arguments.push(option.into());
        }
        if setup.exports {
            arguments.push("--insecure-export".into());
            arguments.push(at.join("export.sock").display().to_string());
        }
        let consumer = agent(at, &setup, &network, &control, Role::Consumer, arguments)?;
        Ok(Self {
            consumer,
            producer,
            bystanders,
            control_planes,
            replicas,
            balancer,
            nginx,
            upstream,
            hop,
            postgres,
            database,
            base: format!("http://{listen}"),
            producer_address,
            control,
            operator,
            pair,
            http: reqwest::Client::builder()
                .timeout(Duration::from_secs(120))
                .build()?,
            network,
            disk,
            rekeys_streams: setup.rekey_streams,
            ended: BTreeSet::new(),
            dir,
        })
    }

    /// Waits until a protected call is served.
    ///
    /// # Errors
    /// If none is within half a minute.
    pub async fn until_served(&self) -> anyhow::Result<()> {
        until("a protected call", || async {
            self.get("/echo?id=ready").await.is_ok()
        })
        .await
    }

    /// A protected GET; its body.
    ///
    /// # Errors
    /// If it is refused; the status and the problem's type are told.
    pub async fn get(&self, target: &str) -> anyhow::Result<Vec<u8>> {
        let answer = self
            .http
            .get(format!("{}{target}", self.base))
            .send()
            .await?;
        read(answer).await
    }

    /// A GET through another agent's face.
    ///
    /// # Errors
    /// As [`System::get`].
    pub async fn get_at(&self, base: &str, target: &str) -> anyhow::Result<Vec<u8>> {
        read(self.http.get(format!("{base}{target}")).send().await?).await
    }

    /// A protected PUT.
    ///
    /// # Errors
    /// As [`System::get`].
    pub async fn put(&self, target: &str, body: Vec<u8>) -> anyhow::Result<Vec<u8>> {
        let request = self.http.put(format!("{}{target}", self.base)).body(body);
        read(request.send().await?).await
    }

    /// Enrols an agent anew whose identity has ended: with another token, in another folder.
    ///
    /// # Errors
    /// If it does not end, or the control plane refuses a token.
    pub async fn enrol_again(&mut self, role: Role) -> anyhow::Result<()> {
        let pair = self.operator.pair(self.pair).await?;
        let (party, process) = match role {
            Role::Consumer => (pair.consumer_id, &mut self.consumer),
            Role::Producer => (pair.producer_id, &mut self.producer),
        };
        process.until_out().await?;
        let token = self.operator.create_enrolment_token(role, party).await?;
        let at = self.dir.path();
        let name = role.into_str();
        let ended = (0..)
            .map(|number| at.join(format!("{name}-ended-{number}")))
            .find(|folder| !folder.exists());
        std::fs::rename(at.join(name), ended.unwrap_or_default())?;
        std::fs::write(at.join(format!("{name}-enrolment")), token.token)?;
        process.start_again()
    }

    /// How many collisions the ledger has recorded.
    ///
    /// # Errors
    /// If the control plane cannot be asked.
    pub async fn collisions(&self) -> anyhow::Result<usize> {
        Ok(self.all_collisions().await?.len())
    }

    /// All of them.
    ///
    /// # Errors
    /// As above.
    pub async fn all_collisions(&self) -> anyhow::Result<Vec<Collision>> {
        self.all("/v1/collisions?").await
    }

    /// Every item of a list; the path ends with `?` or `&`.
    ///
    /// # Errors
    /// As above.
    pub async fn all<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Vec<T>> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let page: Page<T> = self.operator.get(&format!("{path}{cursor}")).await?;
            items.extend(page.items);
            match page.next {
                Some(next) => cursor = format!("cursor={next}"),
                None => return Ok(items),
            }
        }
    }

    /// The folder of everything.
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// Keeps the folder of everything, logs included, and says where it is.
    pub fn keep(&mut self) -> &Path {
        self.dir.disable_cleanup(true);
        self.dir.path()
    }
}

async fn read(answer: reqwest::Response) -> anyhow::Result<Vec<u8>> {
    let status = answer.status();
    let body = answer.bytes().await?;
    if status.is_success() {
        return Ok(body.to_vec());
    }
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    anyhow::bail!("{status} {}", problem["type"].as_str().unwrap_or("-"))
}

/// How a control plane is started; also from other programs than the first time.
pub(crate) fn control_plane(
    at: &Path,
    setup: &Setup,
    network: &Option<Arc<Network>>,
    place: usize,
    listen: &str,
    urls: &Urls,
) -> anyhow::Result<impl Fn() -> Command + Send + Sync + 'static + use<>> {
    let program = setup.program("armour-control-plane")?;
    let mut urls = urls.clone();
    // A version from before there were two roles serves as the owner.
    let help = std::process::Command::new(&program)
        .arg("--help")
        .output()?;
    if !String::from_utf8_lossy(&help.stdout).contains("--database-owner-url") {
        urls.serving.clone_from(&urls.owner);
    }
    let (at, setup) = (at.to_owned(), setup.clone());
    let listen = listen.to_owned();
    let network = network.clone();
    Ok(move || {
        let host = Host::ControlPlane(place);
        let mut command = setup.command(&program, network.as_deref(), host);
        command
            .env("ARMOUR_LISTEN", &listen)
            .envs(urls.environment())
            .env("ARMOUR_MASTER_KEY_FILE", at.join("master-key"))
            .env("ARMOUR_PLATFORM_TOKEN_FILE", at.join("platform-token"))
            .env("ARMOUR_DRAIN_DELAY_MS", setup.drain_delay_ms.to_string())
            .env("ARMOUR_MIGRATE", "true");
        command
    })
}

/// nginx as people put it before several servers: it tries the next where a call
/// may be repeated, and knows nothing of ours.
fn balance(port: u16, replicas: &[String]) -> String {
    let servers: String = replicas
        .iter()
        .map(|replica| format!("        server {replica} max_fails=1 fail_timeout=1s;\n"))
        .collect();
    format!(
        "    upstream control {{
{servers}        keepalive 32;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{
            proxy_pass http://control;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Connection \"\";
            proxy_buffering off;
            proxy_connect_timeout 2s;
            proxy_next_upstream error timeout http_503;
        }}
    }}
"
    )
}

fn agent(
    at: &Path,
    setup: &Setup,
    network: &Option<Arc<Network>>,
    control: &str,
    role: Role,
    rest: Vec<String>,
) -> anyhow::Result<Process> {
    let command = agent_command(at, setup, network, control, role, rest)?;
    let role = role.into_str();
    Process::start(role, at.join(format!("{role}.log")), command)
}

/// Starts agents besides those that are tried, as many of each side, each in a folder of its own.
async fn bystanders(
    at: &Path,
    setup: &Setup,
    control: &str,
    operator: &Client,
    pair: Uuid,
    upstream: &str,
) -> anyhow::Result<Vec<Process>> {
    let mut started = Vec::new();
    let numbers = (0..setup.bystanders).flat_map(|number| {
        let roles = [Role::Producer, Role::Consumer];
        roles.map(|role| (role, number))
    });
    for (role, number) in numbers {
        let pair = operator.pair(pair).await?;
        let party = match role {
            Role::Consumer => pair.consumer_id,
            Role::Producer => pair.producer_id,
        };
        let token = operator.create_enrolment_token(role, party).await?;
        let side = role.into_str();
        let name = format!("{BYSTANDER}{side}-{number}");
        let folder = at.join(&name);
        std::fs::create_dir(&folder)?;
        std::fs::write(folder.join(format!("{side}-enrolment")), token.token)?;
        let listen = format!("127.0.0.1:{}", free_port()?);
        let mut rest = vec!["--listen".into(), listen, "--name".into(), name];
        if role == Role::Producer {
            rest.extend(["--upstream".to_owned(), upstream.to_owned()]);
        }
        started.push(agent(&folder, setup, &None, control, role, rest)?);
    }
    Ok(started)
}

/// How an agent is started whose folder and token are in `at`.
pub(crate) fn agent_command(
    at: &Path,
    setup: &Setup,
    network: &Option<Arc<Network>>,
    control: &str,
    role: Role,
    rest: Vec<String>,
) -> anyhow::Result<impl Fn() -> Command + Send + Sync + 'static + use<>> {
    let program = setup.program("armour-agent")?;
    let (folder, control, setup) = (at.to_owned(), control.to_owned(), setup.clone());
    let network = network.clone();
    let host = match role {
        Role::Consumer => Host::Consumer,
        Role::Producer => Host::Producer,
    };
    let role = role.into_str();
    Ok(move || {
        let mut command = setup.command(&program, network.as_deref(), host);
        command
            .env("ARMOUR_LOG", setup.agents_log)
            .arg(role)
            .args(["--control-plane", &control])
            .arg("--data-dir")
            .arg(folder.join(role))
            .arg("--enrol-token-file")
            .arg(folder.join(format!("{role}-enrolment")))
            .args(&rest);
        command
    })
}

/// A tenant of this name with one pair; enrolment tokens go to files in `at`.
pub(crate) async fn register(
    platform: &Client,
    tenant: &str,
    policy: Policy,
    at: &Path,
) -> anyhow::Result<(Client, Uuid)> {
    let created = platform.create_tenant(tenant).await?;
    let operator = platform.with_token(created.token);
    let consumer = operator.create_party(Role::Consumer, "shop").await?;
    let producer = operator.create_party(Role::Producer, "stock").await?;
    let new = NewPair {
        consumer_id: consumer.id,
        producer_id: producer.id,
        policy,
    };
    let pair = operator.create_pair(&new).await?;
    for (role, party) in [(Role::Consumer, consumer.id), (Role::Producer, producer.id)] {
        let token = operator.create_enrolment_token(role, party).await?;
        std::fs::write(
            at.join(format!("{}-enrolment", role.into_str())),
            token.token,
        )?;
    }
    Ok((operator, pair.id))
}
