//! What a control plane is started with.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::{Context as _, bail};
use armour_listener::TlsOptions;
use armour_storage::Keyring;
use armour_telemetry::TelemetryOptions;
use chrono::Duration;
use clap::Parser;
use zeroize::Zeroizing;

use crate::{
    database_options::DatabaseOptions, http::rate_limit::ClientHeader,
    platform::egress::EgressOptions,
};

/// Armour's control plane.
#[derive(Debug, Clone, Parser)]
#[command(name = "armour-control-plane", version)]
pub struct Config {
    #[command(flatten)]
    pub telemetry: TelemetryOptions,
    /// Where to listen.
    #[arg(long, env = "ARMOUR_LISTEN", default_value = "127.0.0.1:7100")]
    pub listen: SocketAddr,
    #[command(flatten)]
    pub tls: TlsOptions,
    /// Where Prometheus reads `/metrics`, and a supervisor asks for `/v1/health` and
    /// `/v1/health/ready`, without TLS and however many calls come to --listen; nowhere if absent.
    #[arg(long, env = "ARMOUR_METRICS_LISTEN")]
    pub metrics_listen: Option<SocketAddr>,
    #[command(flatten)]
    pub database: DatabaseOptions,
    /// Where people and endpoints reach this service, for example
    /// https://armour.example.com; `http://<listen>` if absent.
    #[arg(long, env = "ARMOUR_PUBLIC_URL")]
    pub public_url: Option<url::Url>,
    /// Further addresses at which endpoints reach this service, for example the name of a
    /// Kubernetes Service, http://armour.armour.svc:7100. Endpoints' proofs (DPoP) are taken
    /// for --public-url and for these only; without --public-url for any address.
    #[arg(
        long,
        env = "ARMOUR_ADDITIONAL_URLS",
        value_delimiter = ',',
        requires = "public_url"
    )]
    pub additional_urls: Vec<url::Url>,
    /// File with a master key: 64 hexadecimal digits.
    #[arg(long, env = "ARMOUR_MASTER_KEY_FILE")]
    pub master_key_file: Option<PathBuf>,
    /// The version of the key in that file.
    #[arg(long, env = "ARMOUR_MASTER_KEY_VERSION", default_value_t = 1)]
    pub master_key_version: i32,
    /// Folder with a file for each version of the master key, named by its number,
    /// as a Kubernetes Secret is mounted.
    #[arg(long, env = "ARMOUR_MASTER_KEYS_DIR")]
    pub master_keys_dir: Option<PathBuf>,
    /// Master keys as `version:key`, with commas between.
    #[arg(long, env = "ARMOUR_MASTER_KEYS", hide_env_values = true)]
    pub master_keys: Option<String>,
    /// File with the platform administrator's token, at least 32 characters.
    #[arg(
        long,
        env = "ARMOUR_PLATFORM_TOKEN_FILE",
        required_unless_present = "migrate_only"
    )]
    pub platform_token_file: Option<PathBuf>,
    /// Folder of the console's built files.
    #[arg(long, env = "ARMOUR_CONSOLE_DIR")]
    pub console_dir: Option<PathBuf>,
    /// Apply missing migrations at the start.
    #[arg(long, env = "ARMOUR_MIGRATE")]
    pub migrate: bool,
    /// Apply missing migrations, let the role of `--database-url` serve, and end; needs no secret
    /// but the database's.
    #[arg(long)]
    pub migrate_only: bool,
    /// Milliseconds from SIGTERM, when this replica says that it is not ready any
    /// more, until it takes no new connections: as long as balancers need to notice.
    #[arg(long, env = "ARMOUR_DRAIN_DELAY_MS", default_value_t = 0)]
    pub drain_delay_ms: u64,
    /// Seconds that calls under way then have to finish.
    #[arg(long, env = "ARMOUR_DRAIN_TIMEOUT", default_value_t = 20)]
    pub drain_timeout_s: u64,
    /// Requests a second that one caller may make of this replica, and one address
    /// without being known.
    #[arg(long, env = "ARMOUR_RATE_LIMIT", default_value_t = 2000)]
    pub rate_limit: u32,
    /// Most event streams that this replica has open: each agent follows one, and each page of
    /// the console.
    #[arg(long, env = "ARMOUR_EVENT_STREAMS", default_value_t = 16_000)]
    pub event_streams: usize,
    /// Networks of the proxies in front, for example 10.1.0.0/16, which are believed
    /// about the addresses that they call for.
    #[arg(long, env = "ARMOUR_TRUSTED_PROXIES", value_delimiter = ',')]
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// The header in which these proxies tell that address; they must write it
    /// themselves, whatever they are sent.
    #[arg(
        long,
        env = "ARMOUR_CLIENT_ADDRESS_HEADER",
        value_enum,
        default_value = "x-forwarded-for"
    )]
    pub client_address_header: ClientHeader,
    #[command(flatten)]
    pub egress: EgressOptions,
    /// Seconds without a call after which a person's session ends.
    #[arg(long, env = "ARMOUR_SESSION_IDLE", default_value_t = 1800)]
    pub session_idle_s: u32,
    /// Seconds after which a person's session ends in any case.
    #[arg(long, env = "ARMOUR_SESSION_LIFE", default_value_t = 43_200)]
    pub session_life_s: u32,
    /// Days that audit entries are kept, to the month; for ever if absent.
    #[arg(long, env = "ARMOUR_AUDIT_RETENTION_DAYS")]
    pub audit_retention_days: Option<u32>,
    /// Seconds without a heartbeat after which an endpoint counts as lost, where heartbeats come every
    /// five seconds; where a policy has them come more rarely, so much longer.
    #[arg(long, env = "ARMOUR_ENDPOINT_LOST_AFTER", default_value_t = 15)]
    pub endpoint_lost_after_s: u32,
    /// Days after which the key that signs access tokens is replaced.
    #[arg(long, env = "ARMOUR_SIGNING_KEY_DAYS", default_value_t = 30)]
    pub signing_key_days: u32,
    /// Milliseconds before a failed webhook delivery is tried again for the first
    /// time; the pauses grow from there.
    #[arg(long, env = "ARMOUR_WEBHOOK_RETRY_MS", default_value_t = 5000)]
    pub webhook_retry_ms: u32,
}

impl Config {
    /// How long a session may be idle.
    pub fn session_idle(&self) -> Duration {
        Duration::seconds(self.session_idle_s.into())
    }

    /// Where the service is reached, as far as that is given: at --public-url first.
    pub fn addresses(&self) -> Vec<url::Url> {
        let more = self.additional_urls.iter();
        self.public_url.iter().chain(more).cloned().collect()
    }

    /// Every master key that was given, by version.
    ///
    /// # Errors
    /// If one cannot be read, or there is none.
    pub fn keyring(&self) -> anyhow::Result<Keyring> {
        let mut ring = Keyring::new();
        if let Some(file) = &self.master_key_file {
            ring.add(self.master_key_version, &read_secret(file)?)
                .with_context(|| file.display().to_string())?;
        }
        if let Some(dir) = &self.master_keys_dir {
            let entries = std::fs::read_dir(dir).with_context(|| dir.display().to_string())?;
            for entry in entries {
                let path = entry?.path();
                // A mounted Secret has hidden entries of Kubernetes' own besides.
                let name = path.file_name().and_then(|name| name.to_str());
                if let Some(version) = name.and_then(|name| name.parse().ok()) {
                    ring.add(version, &read_secret(&path)?)
                        .with_context(|| path.display().to_string())?;
                }
            }
        }
        for given in self.master_keys.iter().flat_map(|text| text.split(',')) {
            let parsed = given.trim().split_once(':');
            let (version, key) = parsed.context("ARMOUR_MASTER_KEYS must be version:key,…")?;
            let version = version.parse().context("ARMOUR_MASTER_KEYS: a version")?;
            ring.add(version, key).context("ARMOUR_MASTER_KEYS")?;
        }
        if ring.versions().next().is_none() {
            bail!(
                "give a master key with --master-key-file, --master-keys-dir or ARMOUR_MASTER_KEYS"
            );
        }
        if ring.versions().any(|version| version < 1) {
            bail!("versions of the master key are numbers from 1 on");
        }
        Ok(ring)
    }
}

/// Reads a file that holds a secret, without the white space around it.
///
/// # Errors
/// If it cannot be read.
pub fn read_secret(path: &std::path::Path) -> anyhow::Result<Zeroizing<String>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let text = Zeroizing::new(text);
    Ok(Zeroizing::new(text.trim().to_owned()))
}
