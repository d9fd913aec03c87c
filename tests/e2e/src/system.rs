//! One tenant, one pair, all processes.

use std::{net::SocketAddr, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use armour_api::{NewPair, Policy, Role};
use armour_cli::{nginx::Nginx, postgres::Postgres};
use armour_client::Client;
use tempfile::TempDir;
use tokio::process::Command;
use uuid::Uuid;

use crate::{
    hop::Hop,
    process::{Process, free_port, program, until},
};

const PLATFORM: &str = "platform-token-of-the-end-to-end-tests";

/// Everything, running.
pub struct System {
    /// The consumer's agent.
    pub consumer: Process,
    /// The producer's agent.
    pub producer: Process,
    /// The control plane.
    pub control_plane: Process,
    /// The upstream.
    pub nginx: Nginx,
    /// The hop between the agents.
    pub hop: Hop,
    /// PostgreSQL.
    pub postgres: Postgres,
    /// Where applications call.
    pub base: String,
    /// Where the producer's agent listens.
    pub producer_address: SocketAddr,
    /// With the operator's token.
    pub operator: Client,
    /// The pair.
    pub pair: Uuid,
    /// For applications' calls.
    pub http: reqwest::Client,
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

impl System {
    /// Starts everything and waits for the first protected call.
    ///
    /// # Errors
    /// If a part does not start.
    pub async fn start(policy: Policy) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("armour-e2e").tempdir()?;
        // PostgreSQL's and nginx's users must be able to pass through.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711))?;
        let at = dir.path();
        let postgres = Postgres::start(&at.join("postgres"), free_port()?).await?;
        let upstream = free_port()?;
        let nginx = Nginx::start(&at.join("upstream"), upstream).await?;
        let control_port = free_port()?;
        let control_plane = control_plane(at, control_port, postgres.url())?;
        let control = format!("http://127.0.0.1:{control_port}");
        let platform = Client::new(&control, PLATFORM)?;
        until("the control plane", Duration::from_secs(30), || async {
            platform.ready().await.is_ok()
        })
        .await?;
        let (operator, pair) = register(&platform, policy, at).await?;
        let producer_address: SocketAddr = format!("127.0.0.1:{}", free_port()?).parse()?;
        let producer = agent(
            at,
            &control,
            "producer",
            vec![
                "--listen".into(),
                producer_address.to_string(),
                "--upstream".into(),
                format!("http://127.0.0.1:{upstream}"),
            ],
        )?;
        let hop = Hop::start(producer_address).await?;
        let listen = format!("127.0.0.1:{}", free_port()?);
        let consumer = agent(
            at,
            &control,
            "consumer",
            vec![
                "--listen".into(),
                listen.clone(),
                "--via".into(),
                format!("http://{}", hop.address()),
            ],
        )?;
        let system = Self {
            consumer,
            producer,
            control_plane,
            nginx,
            hop,
            postgres,
            base: format!("http://{listen}"),
            producer_address,
            operator,
            pair,
            http: reqwest::Client::builder()
                .timeout(Duration::from_secs(120))
                .build()?,
            dir,
        };
        system.until_served().await?;
        Ok(system)
    }

    /// Waits until a protected call is served.
    ///
    /// # Errors
    /// If none is within half a minute.
    pub async fn until_served(&self) -> anyhow::Result<()> {
        until("a protected call", Duration::from_secs(30), || async {
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

    /// A protected PUT.
    ///
    /// # Errors
    /// As [`System::get`].
    pub async fn put(&self, target: &str, body: Vec<u8>) -> anyhow::Result<Vec<u8>> {
        let request = self.http.put(format!("{}{target}", self.base)).body(body);
        read(request.send().await?).await
    }

    /// How many collisions the ledger has recorded.
    ///
    /// # Errors
    /// If the control plane cannot be asked.
    pub async fn collisions(&self) -> anyhow::Result<usize> {
        Ok(self.operator.collisions().await?.items.len())
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

fn control_plane(at: &Path, port: u16, url: String) -> anyhow::Result<Process> {
    std::fs::write(at.join("master-key"), "5a".repeat(32))?;
    std::fs::write(at.join("platform-token"), PLATFORM)?;
    let program = program("armour-control-plane")?;
    let folder = at.to_owned();
    Process::start("control plane", at.join("control-plane.log"), move || {
        let mut command = Command::new(&program);
        command
            .env("ARMOUR_LISTEN", format!("127.0.0.1:{port}"))
            .env("ARMOUR_DATABASE_URL", &url)
            .env("ARMOUR_MASTER_KEY_FILE", folder.join("master-key"))
            .env("ARMOUR_PLATFORM_TOKEN_FILE", folder.join("platform-token"))
            .env("ARMOUR_MIGRATE", "true");
        command
    })
}

fn agent(
    at: &Path,
    control: &str,
    role: &'static str,
    rest: Vec<String>,
) -> anyhow::Result<Process> {
    let program = program("armour-agent")?;
    let (folder, control) = (at.to_owned(), control.to_owned());
    Process::start(role, at.join(format!("{role}.log")), move || {
        let mut command = Command::new(&program);
        command
            .env(
                "ARMOUR_LOG",
                "debug,hyper=info,hyper_util=info,h2=info,reqwest=info",
            )
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

async fn register(platform: &Client, policy: Policy, at: &Path) -> anyhow::Result<(Client, Uuid)> {
    let created = platform.create_tenant("tests").await?;
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
        std::fs::write(at.join(format!("{}-enrolment", role.as_str())), token.token)?;
    }
    Ok((operator, pair.id))
}
