//! The consumer's agent: plain HTTP in, protected exchanges out.
//!
//! * [`fleet`]: the pairs that are served;
//! * [`face`]: the application's HTTP;
//! * [`exchange`]: one exchange;
//! * [`bundle`]: a bundle's lanes;
//! * [`keeper`]: draws bundles and keeps lanes fresh.

mod bundle;
#[cfg(feature = "clone-demo")]
pub mod clone;
mod exchange;
mod face;
pub mod fleet;
mod keeper;

use std::{
    future::Future,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use armour_api::{
    BundleState, BundleStatus, Event, Heartbeat, Pair, ReportVerdict, Reporting, Role,
};
use axum::body::Body;
use http::{Request, Response, StatusCode};
use parking_lot::Mutex;
use prometheus::Registry;
use tokio::{sync::Notify, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::{
    bundle::{Bundle, Lane},
    fleet::Fleet,
};
use crate::{
    backoff::Backoff,
    enclave::{
        Enclave,
        ipc::{Keyed, LaneId},
    },
    folder::{self, Folder},
    health,
    http_client::{HttpClient, Speaks, Trust},
    metrics,
    options::{Common, ConsumerOptions},
    problem::Refusal,
    reporter::Reporter,
    serve::Background,
    session::Session,
};

/// How long a request waits for a bundle or a free lane.
const LANE_WAIT: Duration = Duration::from_secs(10);

/// How long a bundle that is given up waits for a last look at the ledger.
const LAST_LOOK: Duration = Duration::from_secs(3);

/// What all pairs of an agent have in common.
pub struct Shared {
    pub(crate) session: Arc<Session>,
    pub(crate) enclave: Enclave,
    pub(crate) reporter: Arc<Reporter>,
    pub(crate) http: HttpClient,
}

/// One pair's side of the consumer.
pub struct Consumer {
    shared: Arc<Shared>,
    pair: Mutex<Pair>,
    via: Option<String>,
    /// Seconds that a caller waits while a lost exchange is repeated.
    retry_for: AtomicU64,
    current: Mutex<Current>,
    /// Told when `current` changes or may be worth another look.
    changed: Notify,
    /// Cancelled once the pair is not served here any more.
    closing: CancellationToken,
    /// Draws bundles until then.
    keeper: Mutex<Option<JoinHandle<()>>>,
}

impl Deref for Consumer {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

/// The bundle in use, or why there is none.
enum Current {
    Bundle(Arc<Bundle>),
    None(&'static str),
}

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
    let (enclave, child) = crate::start_enclave(common).await?;
    let session = Session::open(common, Role::Consumer, None, &enclave).await?;
    let (reporter, dead) = Reporter::new(session.clone());
    metrics::observe(&session, &reporter);
    let shared = Arc::new(Shared {
        session: session.clone(),
        enclave,
        reporter: reporter.clone(),
        http: trust.client(Speaks::Http1),
    });
    let fleet = Fleet::new(shared.clone(), tls);
    let busy = fleet.clone();
    metrics::observe_lanes(move || busy.busy_lanes());
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

impl Consumer {
    /// Begins to serve a pair: draws a bundle whenever there is none.
    pub fn start(
        shared: Arc<Shared>,
        pair: Pair,
        via: Option<String>,
        retry_for: u64,
    ) -> Arc<Self> {
        let consumer = Arc::new(Self {
            shared,
            pair: Mutex::new(pair),
            via,
            retry_for: AtomicU64::new(retry_for),
            current: Mutex::new(Current::None("no bundle has been drawn yet")),
            changed: Notify::new(),
            closing: CancellationToken::new(),
            keeper: Mutex::default(),
        });
        *consumer.keeper.lock() = Some(tokio::spawn(keeper::run(consumer.clone())));
        consumer
    }

    /// Sends a request protected, and brings its response; a refusal of the agent's own is
    /// a problem document (RFC 9457).
    pub async fn call(self: &Arc<Self>, request: Request<Body>) -> Response<Body> {
        face::serve(self, request).await
    }

    /// Gives up the bundle, and draws none any more: its lanes are compared with the
    /// ledger's a last time, and erased.
    async fn close(&self) {
        self.closing.cancel();
        if let Some(bundle) = self.current() {
            bundle.dead.cancel();
        }
        let keeper = self.keeper.lock().take();
        if let Some(keeper) = keeper
            && tokio::time::timeout(LAST_LOOK * 2, keeper).await.is_err()
        {
            tracing::warn!("a bundle is still being given up");
        }
    }

    /// Seconds that a caller waits while a lost exchange is repeated.
    pub fn be_patient_for(&self, seconds: u64) {
        self.retry_for.store(seconds, Ordering::Relaxed);
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(self.retry_for.load(Ordering::Relaxed))
    }

    /// A lane of the current bundle, open.
    async fn lane(self: &Arc<Self>) -> Result<Lane, Refusal> {
        let unavailable = |kind: &'static str, detail: String| {
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, kind, detail)
        };
        let bundle = tokio::time::timeout(LANE_WAIT, self.bundle())
            .await
            .map_err(|_| match &*self.current.lock() {
                Current::None(why) => unavailable("disconnected", (*why).to_owned()),
                Current::Bundle(_) => unavailable("disconnected", "no bundle in time".to_owned()),
            })??;
        self.check_lease(&bundle)?;
        loop {
            let Some(lane) = bundle.lane(LANE_WAIT).await else {
                return Err(unavailable("lanes-busy", "every lane is busy".to_owned()));
            };
            if !lane.fresh {
                return Ok(lane);
            }
            // Its opening exchange is empty and carries no request.
            match exchange::start(self.clone(), lane, exchange::Outgoing::Empty).await {
                Ok(Ok(_)) => {}
                Ok(Err(refusal)) => return Err(refusal),
                Err(_) => return Err(Refusal::stopping()),
            }
        }
    }

    /// The current bundle, as soon as there is one. A pair that is known to be
    /// disconnected is refused at once.
    async fn bundle(&self) -> Result<Arc<Bundle>, Refusal> {
        loop {
            if self.closing.is_cancelled() {
                return Err(Refusal::stopping());
            }
            let changed = self.changed.notified();
            match &*self.current.lock() {
                Current::Bundle(bundle) => return Ok(bundle.clone()),
                Current::None(why) if *why == keeper::DISCONNECTED => {
                    return Err(Refusal::new(
                        StatusCode::SERVICE_UNAVAILABLE,
                        "disconnected",
                        *why,
                    ));
                }
                Current::None(_) => {}
            }
            changed.await;
        }
    }

    /// Fails closed: no contact for longer than the lease, no traffic.
    fn check_lease(&self, bundle: &Bundle) -> Result<(), Refusal> {
        let lease = bundle.grant.lease();
        if self.session.silence() > lease || self.reporter.is_behind(lease) {
            return Err(Refusal::lease_expired());
        }
        Ok(())
    }

    /// Reports a begun exchange; under strict reporting returns the wait for
    /// the ledger's word.
    fn report(
        &self,
        lane: &Lane,
        keyed: &Keyed,
    ) -> Option<impl Future<Output = Option<()>> + Send + use<>> {
        let ticket = exchange::ticket_of(&keyed.head)?;
        if lane.bundle.grant.policy.reporting == Reporting::Batched {
            self.reporter.add(ticket);
            return None;
        }
        let reporter = self.reporter.clone();
        Some(async move {
            let verdict = reporter.add_now(ticket).await;
            verdict
                .filter(|verdict| *verdict == ReportVerdict::Accepted)
                .map(drop)
        })
    }

    fn outcome_unknown(&self) -> Refusal {
        Refusal::new(
            StatusCode::BAD_GATEWAY,
            "outcome-unknown",
            "the exchange could not be concluded; the request may or may not have been served",
        )
    }

    fn current(&self) -> Option<Arc<Bundle>> {
        match &*self.current.lock() {
            Current::Bundle(bundle) => Some(bundle.clone()),
            Current::None(_) => None,
        }
    }

    /// The ledger may hold nothing in our name that we did not do. What is not ours
    /// counts only while the bundle's lanes are held.
    async fn disown_strangers(&self, status: &BundleStatus, held: impl Fn() -> bool) {
        for head in &status.lanes {
            let lane = LaneId {
                bundle: status.id.into_bytes(),
                lane: head.lane,
            };
            let Some(hash) = hex::decode(&head.hash).ok().and_then(|h| h.try_into().ok()) else {
                continue;
            };
            if let Ok(false) = self.enclave.owns(lane, head.n, hash).await
                && held()
            {
                tracing::error!(bundle = %status.id, lane = head.lane, n = head.n,
                    "the ledger holds a ticket that this endpoint never issued");
                let word = armour_api::Disown {
                    bundle_id: status.id,
                    lane: head.lane,
                    n: head.n,
                };
                if let Err(error) = self.session.client().disown(&word).await {
                    tracing::warn!(%error, "cannot disown yet");
                }
            }
        }
    }

    /// Compares the ledger's heads with our lanes a last time, before the lanes of a
    /// bundle that is given up are erased: nobody could afterwards.
    async fn last_look(&self, bundle: &Bundle) {
        let beat = Heartbeat {
            bundles: vec![bundle.id()],
            error: None,
            log_size: None,
        };
        let look = self.session.client().heartbeat(&beat);
        match tokio::time::timeout(LAST_LOOK, look).await {
            Ok(Ok(ack)) => {
                for status in ack.bundles {
                    self.disown_strangers(&status, || true).await;
                }
            }
            Ok(Err(error)) => tracing::warn!(%error, "no last look at a bundle's lanes"),
            Err(_) => tracing::warn!("no last look at a bundle's lanes in time"),
        }
    }

    /// A bundle was superseded. If it is the one in use, somebody else drew its
    /// successor in this endpoint's name: it draws one itself only when it has given up
    /// the one before, and no draw of its earlier processes is taken after that.
    fn superseded(&self, id: Uuid) {
        let own = self.current().filter(|bundle| bundle.id() == id);
        if own.is_none_or(|bundle| bundle.dead.is_cancelled()) {
            return;
        }
        tracing::error!(bundle = %id, "somebody else drew a bundle in this endpoint's name");
        self.kill(id);
        let session = self.session.clone();
        tokio::spawn(async move {
            let mut backoff = Backoff::default();
            while let Err(error) = session.client().disown_successor(id).await {
                tracing::warn!(%error, bundle = %id, "cannot disown a draw yet");
                if !error.is_passing() {
                    return;
                }
                backoff.wait().await;
            }
        });
    }

    fn kill(&self, id: Uuid) {
        if let Some(bundle) = self.current()
            && bundle.id() == id
        {
            bundle.condemned.store(true, Ordering::Relaxed);
            bundle.dead.cancel();
        }
    }
}

impl Consumer {
    /// A bundle's state as the control plane has it, this pair's or another's.
    async fn status(&self, status: BundleStatus) {
        // Once it is given up, its lanes may be erased at any moment.
        let held = || {
            let current = self.current().filter(|bundle| bundle.id() == status.id);
            current.is_some_and(|bundle| !bundle.dead.is_cancelled())
        };
        match status.state {
            BundleState::Active if held() => self.disown_strangers(&status, held).await,
            BundleState::Active => {}
            BundleState::Superseded => self.superseded(status.id),
            BundleState::Disconnected => self.kill(status.id),
        }
    }

    /// Something happened, to this pair or to another.
    fn event(&self, event: &Event) {
        match (event.kind.as_str(), event.bundle_id) {
            ("bundle.disconnected", Some(bundle)) => self.kill(bundle),
            ("bundle.superseded", Some(bundle)) => self.superseded(bundle),
            ("pair.re-armed", _) => self.changed.notify_waiters(),
            _ => {}
        }
    }

    /// The pair as it is now, if it is this one.
    fn update(&self, pair: &Pair) {
        let mut own = self.pair.lock();
        if own.id == pair.id {
            *own = pair.clone();
        }
    }
}
