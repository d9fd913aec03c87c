//! What an agent is started with.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use uuid::Uuid;

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
    /// The tenant to enrol in by the workload's identity.
    #[arg(long, env = "ARMOUR_TENANT")]
    pub tenant: Option<Uuid>,
    /// The key of the tenant's audit log, 32 bytes in base64. Without it the key
    /// that the control plane tells at enrolment is taken and kept.
    #[arg(long, env = "ARMOUR_LOG_KEY")]
    pub log_key: Option<String>,
    /// Refuse an audit log that lost entries when its database was restored, though the
    /// log's key says so; without this it is told loudly, and kept as evidence.
    #[arg(long, env = "ARMOUR_REFUSE_RESTORED_LOG")]
    pub refuse_restored_log: bool,
    /// What to do where the kernel cannot shut the enclave off as it should be (seccomp,
    /// Landlock, locked memory): say so loudly, or refuse to start.
    #[arg(
        long,
        env = "ARMOUR_ENCLAVE_HARDENING",
        value_enum,
        default_value_t = EnclaveHardening::Warn
    )]
    pub enclave_hardening: EnclaveHardening,
    /// Where a supervisor asks for `/live` and `/ready`; nowhere if absent.
    #[arg(long, env = "ARMOUR_AGENT_HEALTH_LISTEN")]
    pub health_listen: Option<SocketAddr>,
    /// The endpoint's name.
    #[arg(long, env = "ARMOUR_AGENT_NAME", default_value = "agent")]
    pub name: String,
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
    /// Where the application's plain HTTP is taken.
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
    /// A socket on which the whole state, roots included, is handed out. For
    /// the demonstration of a theft only.
    #[cfg(feature = "clone-demo")]
    #[arg(long)]
    pub insecure_export: Option<PathBuf>,
}

/// Takes protected exchanges and forwards them to an upstream.
#[derive(Debug, Clone, Args)]
pub struct ProducerOptions {
    #[command(flatten)]
    pub common: Common,
    /// Where consumers' agents are served.
    #[arg(long, env = "ARMOUR_AGENT_LISTEN", default_value = "127.0.0.1:7202")]
    pub listen: SocketAddr,
    /// How consumers' agents reach this one; `http://<listen>` if absent.
    #[arg(long, env = "ARMOUR_AGENT_ADDRESS")]
    pub address: Option<String>,
    /// The API to protect, for example http://127.0.0.1:8080.
    #[arg(long, env = "ARMOUR_AGENT_UPSTREAM")]
    pub upstream: String,
    /// Seconds that the upstream has to begin its response.
    #[arg(long, env = "ARMOUR_AGENT_UPSTREAM_TIMEOUT", default_value_t = 60)]
    pub upstream_timeout: u64,
}
