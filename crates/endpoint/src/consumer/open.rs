//! Starts a consumer, without listeners.

use std::sync::Arc;

use armour_api::Role;
use uuid::Uuid;

use super::{
    fleet::Fleet,
    pair::{Consumer, Shared},
};
use crate::{
    background::Background,
    control_plane::{reporter::Reporter, session::Session},
    gauges,
    options::Options,
    start_enclave::start_enclave,
    state::folder::{self, Folder},
    wire::http_client::{Speaks, Trust},
};

/// A consumer's agent without its listeners.
pub struct Opened {
    /// What its pairs have in common.
    pub shared: Arc<Shared>,
    /// Its pairs.
    pub fleet: Arc<Fleet>,
    /// What goes on beside requests.
    pub background: Background,
    _folder: Folder,
}

/// Starts the enclave, enrols if need be, and begins heartbeats, events and reports.
///
/// # Errors
/// If it cannot.
pub async fn open(options: &Options) -> anyhow::Result<Opened> {
    let folder = folder::take(&options.data_dir)?;
    let trust = Trust::new(options.tls_ca_file.as_deref())?;
    let (enclave, child) = start_enclave(options).await?;
    let session = Session::open(options, Role::Consumer, None, &enclave).await?;
    let (reporter, dead) = Reporter::new(session.clone());
    gauges::observe(&session, &reporter);
    let shared = Arc::new(Shared {
        session: session.clone(),
        enclave,
        reporter: reporter.clone(),
        http: trust.client(Speaks::Http1),
    });
    let fleet = Fleet::new(shared.clone());
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
