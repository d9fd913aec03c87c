//! Starts a producer, without a listener.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use armour_api::{Pair, Phase, Role};
use parking_lot::RwLock;
use tokio::sync::{Notify, Semaphore};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::{AbortOnDropHandle, TaskTracker},
};

use super::{
    bundles::Bundles, clock::ProducerClock, endpoint::ProducerEndpoint, leaving::Leaving,
    upstream::Upstream,
};
use crate::{
    background::Background,
    control_plane::{coming_back, reporter::Reporter, session::Session},
    gauges,
    listening::DRAIN,
    metrics::METRICS,
    options::Options,
    start_enclave::start_enclave,
    state::data_dir_lock::DataDirLock,
};

/// A producer's agent without its listener.
pub struct Opened {
    /// The producer itself.
    pub producer: Arc<ProducerEndpoint>,
    /// What goes on beside exchanges.
    pub background: Background,
    /// Whether there was a pair for which it may be given bundles.
    pub has_pairs: bool,
    _refresh: AbortOnDropHandle<()>,
    _check: DropGuard,
    _data_dir_lock: Arc<DataDirLock>,
}

/// Starts the enclave, enrols if need be, and begins heartbeats, events and reports.
///
/// # Errors
/// If it cannot.
pub async fn open(
    options: &Options,
    address: String,
    upstream: Upstream,
) -> anyhow::Result<Opened> {
    let lock = DataDirLock::take(&options.data_dir, &options.progress).await?;
    open_in(Arc::new(lock), options, address, upstream).await
}

/// The same in a folder that is locked already.
///
/// # Errors
/// As [`open`].
pub async fn open_in(
    lock: Arc<DataDirLock>,
    options: &Options,
    address: String,
    upstream: Upstream,
) -> anyhow::Result<Opened> {
    coming_back::resume_forgetting(&options.data_dir)
        .context("forget an endpoint that has ended")?;
    let (enclave, child) = start_enclave(options).await?;
    let session = Session::open(options, Role::Producer, Some(address), &enclave).await?;
    let pairs = session.own().await?.pairs;
    let least = |of: fn(&Pair) -> u32, default| {
        let least = pairs.iter().map(of).min().unwrap_or(default);
        Duration::from_millis(least.into())
    };
    // A producer may serve pairs of different policies: the strictest counts.
    let heartbeat = least(|pair| pair.policy.heartbeat_interval_ms, 5_000);
    let lease = least(|pair| pair.policy.lease_ms, 60_000);
    let report = least(|pair| pair.policy.report_interval_ms, 200);
    let clock = ProducerClock::new(enclave.hardening().await?.started_ms);
    let (reporter, dead) = Reporter::new(session.clone());
    METRICS.begin_tickets();
    METRICS.begin_streams();
    let producer = Arc::new(ProducerEndpoint {
        bundles: Arc::new(Bundles::new(session.clone(), enclave.clone())),
        session: session.clone(),
        enclave,
        reporter: reporter.clone(),
        upstream: RwLock::new(upstream),
        heartbeat,
        clock,
        running: TaskTracker::new(),
        closed: CancellationToken::new(),
        lease,
        places: options.upstream_limit.map(|most| {
            // More than that it cannot count, and nothing has as many.
            let most = usize::try_from(most).unwrap_or(Semaphore::MAX_PERMITS);
            Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)))
        }),
        leaving: Leaving::new(),
        access_log: options.access_log.clone(),
        check_due: Notify::new(),
    });
    gauges::observe(&session, &reporter, &producer);
    let calls = Arc::downgrade(&producer);
    gauges::observe_calls(move || calls.upgrade().map(|producer| producer.calls()));
    if producer.upstream().check().await.is_err() {
        // Before the first heartbeat, which would have consumers sent here.
        session.set_phase(Phase::NotServing);
    }
    let check = CancellationToken::new();
    tokio::spawn(producer.clone().watch_upstream(check.clone()));
    let watcher = producer.clone();
    let background = Background::start(session, reporter, dead, watcher, move || report, child);
    let bundles = producer.bundles.clone();
    // An event may be missed; new bundles are asked for besides.
    let refresh = tokio::spawn(async move {
        loop {
            bundles.refresh().await;
            tokio::time::sleep(heartbeat).await;
        }
    });
    Ok(Opened {
        producer,
        background,
        _refresh: AbortOnDropHandle::new(refresh),
        _check: check.drop_guard(),
        has_pairs: !pairs.is_empty(),
        _data_dir_lock: lock,
    })
}

impl Opened {
    /// Refuses new calls, lets those under way end, reports what is still unreported, gives
    /// up every bundle, and ends.
    pub async fn drain(self) {
        self.producer.quiesce(DRAIN).await;
        self.background.report().await;
        self.producer.leave().await;
    }
}
