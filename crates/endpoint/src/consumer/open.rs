//! Starts a consumer, without listeners.

use std::sync::Arc;

use anyhow::Context as _;
use armour_api::Role;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::{
    assignments,
    pair::{ConsumerPair, Shared},
    pair_manager::PairManager,
};
use crate::{
    background::Background,
    control_plane::{coming_back, reporter::Reporter, session::Session},
    gauges,
    metrics::METRICS,
    options::Options,
    start_enclave::start_enclave,
    state::data_dir_lock::DataDirLock,
    wire::http_client::{HttpVersion, Trust},
};

/// A consumer's agent without its listeners.
pub struct Opened {
    /// What its pairs have in common.
    pub shared: Arc<Shared>,
    /// Its pairs.
    pub pair_manager: Arc<PairManager>,
    /// What goes on beside requests.
    pub background: Background,
    _assignments: AbortOnDropHandle<()>,
    _data_dir_lock: Arc<DataDirLock>,
}

/// Starts the enclave, enrols if need be, and begins heartbeats, events and reports.
///
/// # Errors
/// If it cannot.
pub async fn open(options: &Options) -> anyhow::Result<Opened> {
    let lock = DataDirLock::take(&options.data_dir, &options.progress).await?;
    open_in(Arc::new(lock), options).await
}

/// The same in a folder that is locked already.
///
/// # Errors
/// As [`open`].
pub async fn open_in(lock: Arc<DataDirLock>, options: &Options) -> anyhow::Result<Opened> {
    coming_back::resume_forgetting(&options.data_dir)
        .context("forget an endpoint that has ended")?;
    let trust = Trust::new(options.tls_ca_file.as_deref())?;
    let (enclave, child) = start_enclave(options).await?;
    let session = Session::open(options, Role::Consumer, None, &enclave).await?;
    let (reporter, dead) = Reporter::new(session.clone());
    METRICS.begin_streams();
    let shared = Arc::new(Shared {
        session: session.clone(),
        enclave,
        reporter: reporter.clone(),
        http: trust.client(HttpVersion::Http1),
        random: options.ambient.random.clone(),
        access_log: options.access_log.clone(),
    });
    let pair_manager = PairManager::new(shared.clone());
    gauges::observe(&session, &reporter, &pair_manager);
    let assignments = tokio::spawn(assignments::follow(pair_manager.clone()));
    let busy = Arc::downgrade(&pair_manager);
    gauges::observe_lanes(move || busy.upgrade().map(|pairs| pairs.busy_lanes()));
    let interval = {
        let pair_manager = pair_manager.clone();
        move || pair_manager.shortest(|pair| pair.policy.report_interval_ms, 200)
    };
    let background = Background::start(
        session,
        reporter,
        dead,
        pair_manager.clone(),
        interval,
        child,
    );
    Ok(Opened {
        shared,
        pair_manager,
        background,
        _assignments: AbortOnDropHandle::new(assignments),
        _data_dir_lock: lock,
    })
}

impl Opened {
    /// A pair's side of the consumer; needs no listener.
    ///
    /// # Errors
    /// If there is no such pair.
    pub async fn pair(&self, wanted: Option<Uuid>) -> anyhow::Result<Arc<ConsumerPair>> {
        self.pair_manager.pair(wanted).await
    }

    /// Gives up every bundle, reports what is still unreported, and ends.
    pub async fn drain(self) {
        self.pair_manager.leave().await;
    }
}
