//! The producer's agent: protected exchanges in, plain HTTP to the upstream.
//!
//! * [`face`]: what consumers' agents call;
//! * [`bundles`]: which bundles are held;
//! * [`exchange`]: one accepted ticket;
//! * [`log`]: a lane's last response.

mod bundles;
mod exchange;
mod face;
mod log;

use std::{sync::Arc, time::Duration};

use anyhow::ensure;
use armour_api::{BundleStatus, Event, Pair, Role};
use uuid::Uuid;

use self::bundles::Bundles;
use crate::{
    enclave::Enclave,
    folder,
    http_client::{HttpClient, http_client},
    options::ProducerOptions,
    reporter::Reporter,
    serve,
    session::{Session, Watcher},
};

/// The producer's agent.
pub struct Producer {
    session: Arc<Session>,
    enclave: Enclave,
    reporter: Arc<Reporter>,
    http: HttpClient,
    bundles: Bundles,
    upstream: String,
    upstream_timeout: Duration,
    heartbeat: Duration,
}

/// Runs until the agent is asked to stop.
///
/// # Errors
/// If it cannot start, or the enclave is lost.
pub async fn run(options: ProducerOptions) -> anyhow::Result<()> {
    ensure!(
        options.upstream.starts_with("http://"),
        "--upstream must be an http:// address"
    );
    let _folder = folder::take(&options.common.data_dir)?;
    let (enclave, child) = crate::start_enclave(&options.common).await?;
    let address = options
        .address
        .clone()
        .unwrap_or_else(|| format!("http://{}", options.listen));
    let session = Session::open(&options.common, Role::Producer, Some(address), &enclave).await?;
    let pairs = session.own().await?.pairs;
    let least = |of: fn(&Pair) -> u32, default| {
        let least = pairs.iter().map(of).min().unwrap_or(default);
        Duration::from_millis(least.into())
    };
    // A producer may serve pairs of different policies: the strictest counts.
    let heartbeat = least(|pair| pair.policy.heartbeat_interval_ms, 5_000);
    let report = least(|pair| pair.policy.report_interval_ms, 200);
    let (reporter, dead) = Reporter::new(session.clone());
    let producer = Arc::new(Producer {
        bundles: Bundles::new(session.clone(), enclave.clone()),
        session: session.clone(),
        enclave,
        reporter: reporter.clone(),
        http: http_client(),
        upstream: options.upstream.trim_end_matches('/').to_owned(),
        upstream_timeout: Duration::from_secs(options.upstream_timeout),
        heartbeat,
    });
    serve::run(
        options.listen,
        options.common.health_listen,
        face::router(producer.clone()),
        child,
        serve::Background {
            session,
            reporter,
            interval: move || report,
            dead,
            watcher: producer,
            keeper: std::future::pending(),
        },
    )
    .await
}

impl Watcher for Producer {
    fn bundles(&self) -> Vec<Uuid> {
        let held = self.bundles.held();
        held.iter()
            .map(|held| Uuid::from_bytes(held.grant.binding.bundle))
            .collect()
    }

    fn heartbeat_interval(&self) -> Duration {
        self.heartbeat
    }

    async fn status(&self, status: BundleStatus) {
        self.bundles.set_state(status.id, status.state).await;
    }

    async fn event(&self, event: Event) {
        use armour_api::BundleState::{Disconnected, Superseded};
        match (event.kind.as_str(), event.bundle_id) {
            ("bundle.disconnected", Some(id)) => {
                self.bundles.set_state(id, Disconnected).await;
                // The control plane is told at once that it is obeyed.
                self.session.hurry();
            }
            ("bundle.superseded", Some(id)) => self.bundles.set_state(id, Superseded).await,
            _ => {}
        }
    }
}
