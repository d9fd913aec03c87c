//! A fleet: a control plane, one party of producers and parties of consumers, each with endpoints
//! of their own.

use std::{
    net::Ipv4Addr,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use armour_api::{Collision, NewPair, Page, Policy, Role};
use armour_cli::servers::postgres::Postgres;
use armour_client::Client;
use tempfile::TempDir;
use uuid::Uuid;

use super::{
    api::{Api, Seen},
    call::Call,
    figures::Findings,
    judge::judge,
    load::Load,
    member::{Member, Recipe},
    plan::Plan,
    progress::Progress,
};
use crate::{
    network::{Host, Network},
    process::{Process, free_port, until},
    system::{PLATFORM, Setup, control_plane},
};

/// What every part needs.
pub struct Context {
    pub plan: Plan,
    pub progress: Progress,
}

/// Which fleet to start.
#[derive(Debug, Clone)]
pub struct Shape {
    pub policy: Policy,
    /// Producers' endpoints.
    pub producers: usize,
    /// Consumers, each with a pair.
    pub consumers: usize,
    /// Endpoints of each consumer.
    pub endpoints: usize,
    /// How long consumers' agents try for their callers.
    pub patience: Duration,
    /// Each producer's endpoint is on a host of its own. Needs root.
    pub apart: bool,
    /// Settings of the control plane besides the defaults.
    pub environment: Vec<(&'static str, String)>,
}

/// A producer's endpoint, and the API behind it.
pub struct Producer {
    pub agent: Member,
    pub api: Api,
}

/// A consumer's endpoint.
pub struct Consumer {
    pub agent: Member,
    /// Whose it is, by its place.
    pub party: usize,
}

/// A fleet that runs.
pub struct Fleet {
    pub shape: Shape,
    pub producers: Vec<Producer>,
    pub consumers: Vec<Consumer>,
    /// APIs of producers that are gone.
    pub gone: Vec<Api>,
    pub control_plane: Process,
    pub control: String,
    pub operator: Client,
    /// The operator's token.
    pub token: String,
    pub http: reqwest::Client,
    pub network: Option<Arc<Network>>,
    /// The consumers' pairs.
    pub pairs: Vec<Uuid>,
    producer_party: Uuid,
    consumer_parties: Vec<Uuid>,
    /// How many agents have been started.
    started: usize,
    _postgres: Postgres,
    dir: TempDir,
}

impl Shape {
    /// Three producers, two consumers with two endpoints each, the default policy.
    pub fn usual(plan: &Plan) -> Self {
        Self {
            policy: Policy::default(),
            producers: 3,
            consumers: 2,
            endpoints: 2,
            patience: plan.patience(),
            apart: false,
            environment: Vec::new(),
        }
    }
}

impl Fleet {
    /// Starts it and waits until each consumer's endpoint has served a call.
    ///
    /// # Errors
    /// If a part of it does not start.
    pub async fn start(context: &Context, shape: Shape) -> anyhow::Result<Self> {
        let mut fleet = Self::without_agents(context, shape).await?;
        for _ in 0..fleet.shape.producers {
            let producer = fleet.start_producer().await?;
            fleet.producers.push(producer);
        }
        for party in 0..fleet.shape.consumers {
            for _ in 0..fleet.shape.endpoints {
                let consumer = fleet.start_consumer(party).await?;
                fleet.consumers.push(consumer);
            }
        }
        for producer in &fleet.producers {
            producer.agent.until_ready(&fleet.http).await?;
        }
        for consumer in &fleet.consumers {
            fleet.until_served(&consumer.agent).await?;
        }
        Ok(fleet)
    }

    /// All but the agents.
    ///
    /// # Errors
    /// If a part of it does not start.
    pub async fn without_agents(context: &Context, shape: Shape) -> anyhow::Result<Self> {
        let mut dir = tempfile::Builder::new().prefix("armour-fleet").tempdir()?;
        // PostgreSQL's user must be able to pass through.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711))?;
        if context.plan.keep {
            dir.disable_cleanup(true);
            eprintln!("kept: {}", dir.path().display());
        }
        let at = dir.path();
        let network = match shape.apart {
            true => {
                let hosts: Vec<Host> = (0..shape.producers).map(Host::Member).collect();
                Some(Arc::new(Network::of(&hosts)?))
            }
            false => None,
        };
        let root = network
            .as_ref()
            .map_or(Ipv4Addr::LOCALHOST, |network| network.root());
        let postgres = Postgres::start(&at.join("postgres"), free_port()?).await?;
        std::fs::write(at.join("master-key"), "5a".repeat(32))?;
        std::fs::write(at.join("platform-token"), PLATFORM)?;
        let listen = format!("{root}:{}", free_port()?);
        let setup = Setup::default();
        let command = control_plane(at, &setup, &None, 0, &listen, &postgres.urls())?;
        let log = at.join("control-plane.log");
        let environment = shape.environment.clone();
        let process = Process::start("the control plane", log, move || {
            let mut command = command();
            command.envs(environment.iter().map(|(name, value)| (*name, value)));
            command
        })?;
        let control = format!("http://{listen}");
        let platform = Client::new(&control, PLATFORM)?;
        until("the control plane", || async {
            platform.ready().await.is_ok()
        })
        .await?;
        let token = platform.create_tenant("fleet").await?.token;
        let operator = platform.with_token(token.clone());
        let producer = operator.create_party(Role::Producer, "stock").await?.id;
        let (mut consumers, mut pairs) = (Vec::new(), Vec::new());
        for place in 0..shape.consumers {
            let name = format!("shop-{place}");
            let consumer = operator.create_party(Role::Consumer, &name).await?.id;
            let pair = NewPair {
                consumer_id: consumer,
                producer_id: producer,
                policy: shape.policy.clone(),
            };
            pairs.push(operator.create_pair(&pair).await?.id);
            consumers.push(consumer);
        }
        Ok(Self {
            shape,
            producers: Vec::new(),
            consumers: Vec::new(),
            gone: Vec::new(),
            control_plane: process,
            control,
            operator,
            token,
            http: reqwest::Client::builder()
                .timeout(Duration::from_secs(10))
                .build()?,
            network,
            pairs,
            producer_party: producer,
            consumer_parties: consumers,
            started: 0,
            _postgres: postgres,
            dir,
        })
    }

    /// Starts one more producer's endpoint; it is not waited for.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start_producer(&mut self) -> anyhow::Result<Producer> {
        let root = self
            .network
            .as_ref()
            .map_or(Ipv4Addr::LOCALHOST, |network| network.root());
        let api = Api::start(root).await?;
        let place = self.producers.len();
        let host = self
            .network
            .clone()
            .map(|network| (network, Host::Member(place)));
        let rest = vec!["--upstream".into(), format!("http://{}", api.address)];
        let party = self.producer_party;
        let agent = self.start_agent(Role::Producer, party, host, rest).await?;
        Ok(Producer { agent, api })
    }

    /// Starts one more endpoint of a consumer; it is not waited for.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start_consumer(&mut self, party: usize) -> anyhow::Result<Consumer> {
        let id = *self.consumer_parties.get(party).context("a consumer")?;
        let seconds = self.shape.patience.as_secs().to_string();
        let rest = vec!["--retry-for".into(), seconds];
        let agent = self.start_agent(Role::Consumer, id, None, rest).await?;
        Ok(Consumer { agent, party })
    }

    async fn start_agent(
        &mut self,
        role: Role,
        party: Uuid,
        host: Option<(Arc<Network>, Host)>,
        rest: Vec<String>,
    ) -> anyhow::Result<Member> {
        let token = self.operator.create_enrolment_token(role, party).await?;
        self.started += 1;
        let name = format!("{}-{}", role.into_str(), self.started);
        let recipe = Recipe {
            role,
            folder: self.dir.path().join(&name),
            name,
            token: token.token,
            control: self.control.clone(),
            host,
            rest,
        };
        recipe.start()
    }

    /// Waits until a consumer's endpoint serves a call.
    ///
    /// # Errors
    /// If it does not.
    pub async fn until_served(&self, consumer: &Member) -> anyhow::Result<()> {
        let url = format!("{}/ready", consumer.base());
        until(&format!("a call through {}", consumer.name), || async {
            let answer = self.http.get(&url).send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        })
        .await
    }

    /// Waits until the control plane serves.
    ///
    /// # Errors
    /// If it does not.
    pub async fn until_control(&self) -> anyhow::Result<()> {
        until("the control plane", || async {
            self.operator.ready().await.is_ok()
        })
        .await
    }

    /// Calls through all consumers' endpoints, at the plan's rate.
    ///
    /// # Errors
    /// If there can be no client.
    pub fn load(&self, plan: &Plan) -> anyhow::Result<Load> {
        let bases = self.consumers.iter().map(|one| one.agent.base()).collect();
        Load::start(bases, plan.rate, self.shape.patience)
    }

    /// The producers' party, and the first consumers'.
    pub fn parties(&self) -> Option<(Uuid, Uuid)> {
        Some((self.producer_party, *self.consumer_parties.first()?))
    }

    /// How many calls each producer has begun between two times.
    pub fn shares(&self, from: Instant, to: Instant) -> Vec<u64> {
        let count = |producer: &Producer| producer.api.count(from, to);
        self.producers.iter().map(count).collect()
    }

    /// Judges all calls, and ends everything.
    ///
    /// # Errors
    /// If the control plane cannot be asked for collisions.
    pub async fn end(
        self,
        part: &str,
        calls: &[Call],
        findings: &mut Findings,
    ) -> anyhow::Result<()> {
        let running = self.producers.iter().map(|producer| &producer.api);
        let seen: Vec<Seen> = running.chain(&self.gone).flat_map(Api::seen).collect();
        let mut verdict = judge(calls, &seen, &self.shape.policy, self.shape.patience);
        let page: Page<Collision> = self.operator.get("/v1/collisions").await?;
        verdict.collisions = page.items.len() as u64;
        findings.judged(part, &verdict);
        write_failures(self.dir.path(), calls)
    }

    /// The folder of everything.
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }
}

/// Writes down each call that suffered, for whoever looks into what is kept.
fn write_failures(folder: &Path, calls: &[Call]) -> anyhow::Result<()> {
    let line = |call: &Call| {
        let method = if call.safe { "GET" } else { "POST" };
        let (sent, waited) = (call.sent.format("%H:%M:%S%.3f"), call.waited.as_millis());
        format!("{sent} {method} {} {waited} ms {}\n", call.id, call.why())
    };
    let mut suffered: Vec<&Call> = calls.iter().filter(|call| call.suffered()).collect();
    suffered.sort_by_key(|call| call.sent);
    let text: String = suffered.into_iter().map(line).collect();
    Ok(std::fs::write(folder.join("calls-that-suffered"), text)?)
}
