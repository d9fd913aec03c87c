//! Starts a producer, and runs it until it is asked to stop.

use std::{sync::Arc, time::Duration};

use armour_api::{Pair, Role};
use parking_lot::RwLock;
use prometheus::Registry;
use tokio_util::sync::CancellationToken;

use super::{
    bundles::Bundles,
    endpoint::Producer,
    face,
    upstream::{Server, Upstream},
};
use crate::{
    folder::{self, Folder},
    gauges, health,
    http_client::Trust,
    options::{Common, ProducerOptions},
    reporter::Reporter,
    serve::{self, Background},
    session::Session,
    settings::ProducerSettings,
    start_enclave::start_enclave,
};

/// A producer's agent without its listener.
pub struct Opened {
    pub(crate) producer: Arc<Producer>,
    pub(crate) background: Background,
    _folder: Folder,
}

/// Starts the enclave, enrols if need be, and begins heartbeats, events and reports.
///
/// # Errors
/// If it cannot.
pub async fn open(common: &Common, address: String, upstream: Upstream) -> anyhow::Result<Opened> {
    let folder = folder::take(&common.data_dir)?;
    let (enclave, child) = start_enclave(common).await?;
    let session = Session::open(common, Role::Producer, Some(address), &enclave).await?;
    let pairs = session.own().await?.pairs;
    let least = |of: fn(&Pair) -> u32, default| {
        let least = pairs.iter().map(of).min().unwrap_or(default);
        Duration::from_millis(least.into())
    };
    // A producer may serve pairs of different policies: the strictest counts.
    let heartbeat = least(|pair| pair.policy.heartbeat_interval_ms, 5_000);
    let report = least(|pair| pair.policy.report_interval_ms, 200);
    let (reporter, dead) = Reporter::new(session.clone());
    gauges::observe(&session, &reporter);
    let producer = Arc::new(Producer {
        bundles: Bundles::new(session.clone(), enclave.clone()),
        session: session.clone(),
        enclave,
        reporter: reporter.clone(),
        upstream: RwLock::new(upstream),
        heartbeat,
        closed: CancellationToken::new(),
    });
    let watcher = producer.clone();
    let background = Background::start(session, reporter, dead, watcher, move || report, child);
    Ok(Opened {
        producer,
        background,
        _folder: folder,
    })
}

impl Opened {
    /// The producer itself.
    pub fn producer(&self) -> Arc<Producer> {
        self.producer.clone()
    }

    /// Takes no more exchanges, reports what is still unreported, and ends.
    pub async fn drain(self) {
        self.producer.closed.cancel();
        self.background.report().await;
    }
}

/// Runs until the agent is asked to stop.
///
/// # Errors
/// If it cannot start, or the enclave is lost.
pub async fn run(options: ProducerOptions, registry: Registry) -> anyhow::Result<()> {
    let common = &options.common;
    let mut settings = options.settings()?;
    let trust = Trust::new(common.tls_ca_file.as_deref())?;
    let tls = common.tls.open()?;
    let scheme = common.tls.scheme();
    let address = options
        .address
        .clone()
        .unwrap_or_else(|| format!("{scheme}://{}", options.listen));
    let upstream = to_server(&settings.borrow_and_update(), &trust)?;
    let opened = open(common, address, upstream).await?;
    let producer = opened.producer.clone();
    let stop = CancellationToken::new();
    if let Some(listen) = common.health_listen {
        let session = producer.session.clone();
        health::serve(listen, session, producer.clone(), registry, stop.clone()).await?;
    }
    let follower = producer.clone();
    tokio::spawn(async move {
        while settings.changed().await.is_ok() {
            match to_server(&settings.borrow_and_update(), &trust) {
                Ok(upstream) => follower.send_to(upstream),
                Err(error) => {
                    tracing::error!(error = format!("{error:#}"), "the upstream in use is kept")
                }
            }
        }
    });
    let listener = serve::listen(options.listen).await?;
    let serving = serve::door(listener, tls, face::router(producer), stop.clone());
    opened.background.serve(serving, stop).await
}

fn to_server(settings: &ProducerSettings, trust: &Trust) -> anyhow::Result<Upstream> {
    let timeout = Duration::from_secs(settings.upstream_timeout);
    let server = Server::new(&settings.upstream, settings.upstream_http2, timeout, trust)?;
    Ok(Upstream::Server(Arc::new(server)))
}
