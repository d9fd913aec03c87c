//! Starts a consumer, and runs it until it is asked to stop.

use std::sync::Arc;

use armour_api::Role;
use prometheus::Registry;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

#[cfg(feature = "clone-demo")]
use super::clone;
use super::{
    fleet::Fleet,
    pair::{Consumer, Shared},
};
use crate::{
    folder::{self, Folder},
    gauges, health,
    http_client::{Speaks, Trust},
    options::{Common, ConsumerOptions},
    reporter::Reporter,
    serve::Background,
    session::Session,
    start_enclave::start_enclave,
};

/// A consumer's agent without its listeners.
pub struct Opened {
    pub(crate) shared: Arc<Shared>,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) background: Background,
    _folder: Folder,
}

/// Starts the enclave, enrols if need be, and begins heartbeats, events and reports.
///
/// # Errors
/// If it cannot.
pub async fn open(common: &Common) -> anyhow::Result<Opened> {
    let folder = folder::take(&common.data_dir)?;
    let trust = Trust::new(common.tls_ca_file.as_deref())?;
    let tls = common.tls.open()?;
    let (enclave, child) = start_enclave(common).await?;
    let session = Session::open(common, Role::Consumer, None, &enclave).await?;
    let (reporter, dead) = Reporter::new(session.clone());
    gauges::observe(&session, &reporter);
    let shared = Arc::new(Shared {
        session: session.clone(),
        enclave,
        reporter: reporter.clone(),
        http: trust.client(Speaks::Http1),
    });
    let fleet = Fleet::new(shared.clone(), tls);
    let busy = fleet.clone();
    gauges::observe_lanes(move || busy.busy_lanes());
    let interval = {
        let fleet = fleet.clone();
        move || fleet.shortest(|pair| pair.policy.report_interval_ms, 200)
    };
    let background = Background::start(session, reporter, dead, fleet.clone(), interval, child);
    Ok(Opened {
        shared,
        fleet,
        background,
        _folder: folder,
    })
}

impl Opened {
    /// A pair's side of the consumer; needs no listener.
    ///
    /// # Errors
    /// If there is no such pair.
    pub async fn pair(&self, wanted: Option<Uuid>) -> anyhow::Result<Arc<Consumer>> {
        self.fleet.pair(wanted).await
    }

    /// Reports what is still unreported, gives up every bundle, and ends.
    pub async fn drain(self) {
        self.background.report().await;
        self.fleet.close().await;
    }
}

/// Runs until the agent is asked to stop.
///
/// # Errors
/// If it cannot start, or the enclave is lost.
pub async fn run(options: ConsumerOptions, registry: Registry) -> anyhow::Result<()> {
    let settings = options.settings()?;
    let opened = open(&options.common).await?;
    let stop = CancellationToken::new();
    let Opened { shared, fleet, .. } = &opened;
    if let Some(listen) = options.common.health_listen {
        let session = shared.session.clone();
        health::serve(listen, session, fleet.clone(), registry, stop.clone()).await?;
    }
    #[cfg(feature = "clone-demo")]
    if let Some(path) = &options.insecure_export {
        clone::export(fleet.clone(), path)?;
    }
    let serving = fleet.clone().serve(settings, stop.clone());
    opened.background.serve(serving, stop).await
}
