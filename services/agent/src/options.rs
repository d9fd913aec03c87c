//! What an agent is started with.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use armour_endpoint::{
    consumer::settings::PairSettings,
    floors::Floors,
    options::{self, Options},
    producer::upstream_check::UpstreamCheck,
};
use armour_listener::TlsOptions;
use armour_telemetry::TelemetryOptions;
use clap::{Args, Parser, Subcommand};
use tokio::sync::watch;
use uuid::Uuid;

use crate::access_log::AccessLogOptions;
use crate::settings::{self, ConsumerSettings, ProducerSettings};

/// Armour's endpoint.
#[derive(Parser)]
#[command(name = "armour-agent", version)]
pub struct Cli {
    #[command(flatten)]
    /// What is told of it.
    pub telemetry: TelemetryOptions,
    #[command(subcommand)]
    /// As what it runs.
    pub command: Command,
}

/// As what an agent runs.
#[derive(Subcommand)]
pub enum Command {
    /// Take plain HTTP on loopback and send it protected.
    Consumer(ConsumerOptions),
    /// Take protected exchanges and forward them to an upstream.
    Producer(ProducerOptions),
    /// Act with an agent's stolen state.
    #[cfg(feature = "clone-demo")]
    #[command(hide = true)]
    Clone(CloneOptions),
    /// Have the producer's agent of a data folder leave, and wait until its consumers have moved:
    /// for a preStop hook of Kubernetes.
    Drain(DrainOptions),
    /// The process that holds root secrets; started by the others.
    #[command(hide = true)]
    Enclave {
        /// File of the endpoint's long-term keys.
        #[arg(long)]
        key_file: PathBuf,
        /// File of parties' keys that are pinned.
        #[arg(long)]
        pins: Option<PathBuf>,
    },
}

/// What both kinds of agent need.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// The control plane, for example http://127.0.0.1:7100.
    #[arg(long, env = "ARMOUR_CONTROL_PLANE")]
    pub control_plane: String,
    /// Where the endpoint's keys and identity are kept.
    #[arg(long, env = "ARMOUR_AGENT_DATA_DIR")]
    pub data_dir: PathBuf,
    /// File of a one-use enrolment token; needed at the first start only.
    #[arg(long, env = "ARMOUR_ENROL_TOKEN_FILE")]
    pub enrol_token_file: Option<PathBuf>,
    /// File of a token of this workload's own identity, for example a projected
    /// Kubernetes service account's, to enrol with instead; read anew at each try.
    #[arg(
        long,
        env = "ARMOUR_ENROL_IDENTITY_FILE",
        requires = "tenant",
        conflicts_with = "enrol_token_file"
    )]
    pub enrol_identity_file: Option<PathBuf>,
    /// The tenant that the endpoint is to be of: one that is enrolled in another is not
    /// started. Needed to enrol by the workload's identity.
    #[arg(long, env = "ARMOUR_TENANT")]
    pub tenant: Option<Uuid>,
    /// A key of the tenant's audit log, present or earlier, 32 bytes in base64. Without it
    /// the key that the control plane tells at enrolment is taken and kept.
    #[arg(long, env = "ARMOUR_LOG_KEY")]
    pub log_key: Option<String>,
    /// Refuse an audit log that lost entries when its database was restored, though the
    /// log's key says so; without this it is told loudly, and kept as evidence.
    #[arg(long, env = "ARMOUR_REFUSE_RESTORED_LOG")]
    pub refuse_restored_log: bool,
    /// JSON file of parties' keys that are pinned, read at the start: bundles then need the
    /// certificate of a party that is pinned, in their pair where a pin names it.
    #[arg(long, env = "ARMOUR_PINS")]
    pub pins: Option<PathBuf>,
    #[command(flatten)]
    pub floors: FloorOptions,
    /// What to do where the kernel cannot shut the enclave off as it should be (seccomp,
    /// Landlock, locked memory): say so loudly, or refuse to start.
    #[arg(
        long,
        env = "ARMOUR_ENCLAVE_HARDENING",
        value_enum,
        default_value_t = EnclaveHardening::Warn
    )]
    pub enclave_hardening: EnclaveHardening,
    /// PEM file of certificates that are trusted besides the system's authorities: the
    /// control plane's, the other agent's, the upstream's.
    #[arg(long, env = "ARMOUR_TLS_CA_FILE")]
    pub tls_ca_file: Option<PathBuf>,
    #[command(flatten)]
    pub tls: TlsOptions,
    #[command(flatten)]
    pub access_log: AccessLogOptions,
    /// The program that runs as the enclave: an `armour-agent`; this one if absent.
    #[arg(long, env = "ARMOUR_ENCLAVE_PROGRAM", hide = true)]
    pub enclave_program: Option<PathBuf>,
    /// Where a supervisor asks for `/live`, `/started` and `/ready`, and Prometheus for
    /// `/metrics`; nowhere if absent.
    #[arg(long, env = "ARMOUR_AGENT_HEALTH_LISTEN")]
    pub health_listen: Option<SocketAddr>,
    /// Answer `/ready` by 503 also while the control plane has been out of reach for longer than
    /// the lease. An outage of it then takes all agents out of their Services.
    #[arg(long, env = "ARMOUR_AGENT_READY_WITH_LEASE")]
    pub ready_with_lease: bool,
    /// The zone that the agent runs in, at most 63 characters: consumers are given producers of
    /// their own zone first.
    #[arg(long, env = "ARMOUR_ZONE", value_parser = zone)]
    pub zone: Option<String>,
    /// The endpoint's name.
    #[arg(long, env = "ARMOUR_AGENT_NAME", default_value = "agent")]
    pub name: String,
}

impl From<&Common> for Options {
    fn from(common: &Common) -> Self {
        Self {
            enrol_token_file: common.enrol_token_file.clone(),
            enrol_identity_file: common.enrol_identity_file.clone(),
            tenant: common.tenant,
            log_key: common.log_key.clone(),
            refuse_restored_log: common.refuse_restored_log,
            pin_file: common.pins.clone(),
            floors: (&common.floors).into(),
            enclave_hardening: match common.enclave_hardening {
                EnclaveHardening::Warn => options::EnclaveHardening::Warn,
                EnclaveHardening::Require => options::EnclaveHardening::Require,
            },
            tls_ca_file: common.tls_ca_file.clone(),
            enclave_program: common.enclave_program.clone(),
            name: common.name.clone(),
            // An unset label of Kubernetes' is an empty one.
            zone: common.zone.clone().filter(|zone| !zone.is_empty()),
            ..Self::new(&common.control_plane, &common.data_dir)
        }
    }
}

/// What bundles must have at least, whatever policy the control plane sets.
#[derive(Debug, Clone, Args)]
pub struct FloorOptions {
    /// Cipher suites that are taken, 1 to 3, separated by commas; any if absent. A bundle of
    /// another one is refused, whatever its pair's policy says.
    #[arg(
        long,
        env = "ARMOUR_SUITES",
        value_delimiter = ',',
        value_parser = clap::value_parser!(u8).range(1..=3)
    )]
    pub suites: Vec<u8>,
    /// Refuse bundles whose policy does not have each ticket recorded before its call begins.
    #[arg(long, env = "ARMOUR_STRICT_REPORTING")]
    pub strict_reporting: bool,
    /// Refuse bundles whose policy lets calls go on for longer than this without contact to
    /// the control plane (`lease_ms`), in milliseconds.
    #[arg(long, env = "ARMOUR_MAX_LEASE_MS")]
    pub max_lease_ms: Option<u32>,
    /// Refuse bundles whose policy lets a call begin later than this (`begin_within_ms`), in
    /// milliseconds.
    #[arg(long, env = "ARMOUR_MAX_BEGIN_WITHIN_MS")]
    pub max_begin_within_ms: Option<u32>,
}

impl From<&FloorOptions> for Floors {
    fn from(options: &FloorOptions) -> Self {
        let duration = |ms: u32| Duration::from_millis(ms.into());
        Self {
            suites: options.suites.clone(),
            strict_reporting: options.strict_reporting,
            max_lease: options.max_lease_ms.map(duration),
            max_begin_within: options.max_begin_within_ms.map(duration),
        }
    }
}

/// What to do where the enclave cannot be shut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum EnclaveHardening {
    /// Start, and say so loudly.
    Warn,
    /// Refuse to start.
    Require,
}

/// Takes plain HTTP on loopback and sends it protected.
#[derive(Debug, Clone, Args)]
pub struct ConsumerOptions {
    #[command(flatten)]
    pub common: Common,
    /// TOML file of settings in place of the flags below, read anew when it changes and on
    /// SIGHUP; for several pairs, each on a listener of its own (docs/agent.md).
    #[arg(long, env = "ARMOUR_AGENT_CONFIG", conflicts_with_all = ["pair", "via"])]
    pub config: Option<PathBuf>,
    /// Where the application's HTTP is taken.
    #[arg(long, env = "ARMOUR_AGENT_LISTEN", default_value = "127.0.0.1:7201")]
    pub listen: SocketAddr,
    /// The pair to use; needed where the consumer has several.
    #[arg(long, env = "ARMOUR_AGENT_PAIR")]
    pub pair: Option<Uuid>,
    /// Reach the producer here instead of at the address it enrolled with.
    #[arg(long)]
    pub via: Option<String>,
    /// Seconds that a caller waits while a lost exchange is repeated.
    #[arg(long, env = "ARMOUR_AGENT_RETRY_FOR", default_value_t = 30)]
    pub retry_for: u64,
    /// Milliseconds that a call waits where every lane is busy.
    #[arg(long, env = "ARMOUR_AGENT_LANE_WAIT_MS", default_value_t = 1_000)]
    pub lane_wait_ms: u64,
    /// Seconds until the agent is ready though it has been granted no bundle.
    #[arg(long, env = "ARMOUR_AGENT_READY_AFTER", default_value_t = 30)]
    pub ready_after: u64,
    /// Answer HTTP/1.1 with field names in title case (`Content-Type`), for callers that tell
    /// them apart by case.
    #[arg(long, env = "ARMOUR_AGENT_TITLE_CASE_FIELDS")]
    pub title_case_fields: bool,
    /// A socket on which the whole state, roots included, is handed out. For
    /// the demonstration of a theft only.
    #[cfg(feature = "clone-demo")]
    #[arg(long, hide = true)]
    pub insecure_export: Option<PathBuf>,
}

/// Takes protected exchanges and forwards them to an upstream.
#[derive(Debug, Clone, Args)]
pub struct ProducerOptions {
    #[command(flatten)]
    pub common: Common,
    /// TOML file of settings in place of those for the upstream, read anew when it changes
    /// and on SIGHUP (docs/agent.md).
    #[arg(long, env = "ARMOUR_AGENT_CONFIG")]
    pub config: Option<PathBuf>,
    /// Where consumers' agents are served.
    #[arg(long, env = "ARMOUR_AGENT_LISTEN", default_value = "127.0.0.1:7202")]
    pub listen: SocketAddr,
    /// How consumers' agents reach this one; `http://<listen>`, or `https://`, if absent.
    #[arg(long, env = "ARMOUR_AGENT_ADDRESS")]
    pub address: Option<String>,
    /// The API to protect, for example http://127.0.0.1:8080.
    #[arg(
        long,
        env = "ARMOUR_AGENT_UPSTREAM",
        required_unless_present = "config"
    )]
    pub upstream: Option<String>,
    /// Speak HTTP/2 to the upstream from the first byte, as gRPC servers without TLS want
    /// it. Under TLS the version is negotiated.
    #[arg(long, env = "ARMOUR_AGENT_UPSTREAM_HTTP2")]
    pub upstream_http2: bool,
    /// Seconds that the upstream has to begin its response.
    #[arg(long, env = "ARMOUR_AGENT_UPSTREAM_TIMEOUT", default_value_t = 60)]
    pub upstream_timeout: u64,
    /// How it is checked whether the upstream serves, every few seconds: `off`, `connect` (its port
    /// is open), or a path that it answers a GET of with a status below 400. Consumers are given
    /// no bundles with an agent whose upstream does not.
    #[arg(long, env = "ARMOUR_AGENT_UPSTREAM_CHECK", default_value = "connect")]
    pub upstream_check: UpstreamCheck,
    /// How many calls the upstream takes at once. One beyond is refused, by a signed word that it
    /// did not run, and its consumer takes it elsewhere; no limit if absent.
    #[arg(
        long,
        env = "ARMOUR_AGENT_UPSTREAM_LIMIT",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub upstream_limit: Option<u32>,
    /// Seconds that the agent serves on for its consumers to move, once it is asked to stop.
    #[arg(long, env = "ARMOUR_AGENT_DRAIN_FOR", default_value_t = 5)]
    pub drain_for: u64,
    /// Seconds until the agent is ready though no consumer has been given a bundle with it.
    #[arg(long, env = "ARMOUR_AGENT_READY_AFTER", default_value_t = 30)]
    pub ready_after: u64,
    /// Pass calls that come without protection to the upstream, too, while consumers are given
    /// agents: marked by `Armour-Protection: none`, counted, and told of in the log and at the
    /// control plane. Whoever reaches the port can then call the API.
    #[arg(long, env = "ARMOUR_AGENT_PERMISSIVE")]
    pub permissive: bool,
    /// Send field names in title case (`Content-Type`) to an upstream that speaks HTTP/1.1,
    /// for those that tell them apart by case.
    #[arg(long, env = "ARMOUR_AGENT_TITLE_CASE_FIELDS")]
    pub title_case_fields: bool,
    /// A socket on which the whole state of a bundle, roots included, is handed out. For
    /// the demonstration of a theft only.
    #[cfg(feature = "clone-demo")]
    #[arg(long, hide = true)]
    pub insecure_export: Option<PathBuf>,
}

/// Has an agent leave.
#[derive(Debug, Clone, Args)]
pub struct DrainOptions {
    /// The data folder of the agent that is to leave.
    #[arg(long, env = "ARMOUR_AGENT_DATA_DIR")]
    pub data_dir: PathBuf,
    /// Seconds until this is given up; the agent goes on leaving.
    #[arg(long, default_value_t = 30)]
    pub timeout: u64,
}

/// A zone's name.
fn zone(name: &str) -> Result<String, String> {
    match name.chars().count() {
        0..=MAX_ZONE => Ok(name.to_owned()),
        _ => Err(format!("at most {MAX_ZONE} characters")),
    }
}

/// How long a zone's name may be, in characters.
const MAX_ZONE: usize = 63;

/// Acts as a consumer, or a producer, with stolen state.
#[cfg(feature = "clone-demo")]
#[derive(Debug, Clone, Args)]
pub struct CloneOptions {
    /// File of the stolen state.
    #[arg(long)]
    pub state: PathBuf,
    /// Folder for this process's files.
    #[arg(long)]
    pub data_dir: PathBuf,
    /// Where to take the thief's plain HTTP, or consumers' exchanges.
    #[arg(long)]
    pub listen: SocketAddr,
    /// The state is a producer's, and calls go here.
    #[arg(long)]
    pub upstream: Option<String>,
}

impl ConsumerOptions {
    /// The settings, those of the file if one is given.
    ///
    /// # Errors
    /// If it does not hold.
    pub fn settings(&self) -> anyhow::Result<watch::Receiver<ConsumerSettings>> {
        match &self.config {
            Some(file) => settings::of_file(file),
            None => Ok(settings::fixed(ConsumerSettings {
                log: None,
                pairs: vec![PairSettings {
                    pair: self.pair,
                    listen: self.listen,
                    via: self.via.clone(),
                    retry_for: self.retry_for,
                    lane_wait_ms: self.lane_wait_ms,
                    title_case_fields: self.title_case_fields,
                }],
            })),
        }
    }
}

impl ProducerOptions {
    /// The settings, those of the file if one is given.
    ///
    /// # Errors
    /// If it does not hold.
    pub fn settings(&self) -> anyhow::Result<watch::Receiver<ProducerSettings>> {
        match &self.config {
            Some(file) => settings::of_file(file),
            None => Ok(settings::fixed(ProducerSettings {
                log: None,
                upstream: self.upstream.clone().unwrap_or_default(),
                upstream_http2: self.upstream_http2,
                upstream_timeout: self.upstream_timeout,
                upstream_check: self.upstream_check.clone(),
                title_case_fields: self.title_case_fields,
            })),
        }
    }
}
