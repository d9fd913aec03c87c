//! The consumer's agent: plain HTTP in, protected exchanges out.
//!
//! * [`face`]: the application's HTTP;
//! * [`exchange`]: one exchange;
//! * [`bundle`]: a bundle's lanes;
//! * [`keeper`]: draws bundles and keeps lanes fresh.

mod bundle;
#[cfg(feature = "clone-demo")]
pub mod clone;
mod exchange;
mod face;
mod keeper;

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};

use anyhow::{Context as _, bail};
use armour_api::{
    BundleState, BundleStatus, Event, Heartbeat, Pair, ReportVerdict, Reporting, Role,
};
use http::StatusCode;
use tokio::sync::Notify;
use uuid::Uuid;

use self::bundle::{Bundle, Lane};
use crate::{
    backoff::Backoff,
    enclave::{
        Enclave,
        ipc::{Keyed, LaneId},
    },
    folder,
    http_client::{HttpClient, http_client},
    options::ConsumerOptions,
    problem::Refusal,
    reporter::Reporter,
    serve,
    session::{Session, Watcher},
};

/// How long a request waits for a bundle or a free lane.
const LANE_WAIT: Duration = Duration::from_secs(10);

/// How long a bundle that is given up waits for a last look at the ledger.
const LAST_LOOK: Duration = Duration::from_secs(3);

/// The consumer's agent.
pub struct Consumer {
    session: Arc<Session>,
    enclave: Enclave,
    reporter: Arc<Reporter>,
    http: HttpClient,
    pair: Mutex<Pair>,
    via: Option<String>,
    retry_for: Duration,
    current: Mutex<Current>,
    /// Told when `current` changes or may be worth another look.
    changed: Notify,
}

/// The bundle in use, or why there is none.
enum Current {
    Bundle(Arc<Bundle>),
    None(&'static str),
}

/// Runs until the agent is asked to stop.
///
/// # Errors
/// If it cannot start, or the enclave is lost.
pub async fn run(options: ConsumerOptions) -> anyhow::Result<()> {
    let _folder = folder::take(&options.common.data_dir)?;
    let (enclave, child) = crate::start_enclave(&options.common).await?;
    let session = Session::open(&options.common, Role::Consumer, None, &enclave).await?;
    let pair = choose(session.own().await?.pairs, options.pair)?;
    let (reporter, dead) = Reporter::new(session.clone());
    let consumer = Arc::new(Consumer {
        session: session.clone(),
        enclave,
        reporter: reporter.clone(),
        http: http_client(),
        pair: Mutex::new(pair),
        via: options.via.clone(),
        retry_for: Duration::from_secs(options.retry_for),
        current: Mutex::new(Current::None("no bundle has been drawn yet")),
        changed: Notify::new(),
    });
    #[cfg(feature = "clone-demo")]
    if let Some(path) = &options.insecure_export {
        clone::export(&consumer, path)?;
    }
    let interval = {
        let consumer = consumer.clone();
        move || Duration::from_millis(lock(&consumer.pair).policy.report_interval_ms.into())
    };
    serve::run(
        options.listen,
        options.common.health_listen,
        face::router(consumer.clone()),
        child,
        serve::Background {
            session,
            reporter,
            interval,
            dead,
            watcher: consumer.clone(),
            keeper: keeper::run(consumer),
        },
    )
    .await
}

fn choose(pairs: Vec<Pair>, wanted: Option<Uuid>) -> anyhow::Result<Pair> {
    match (wanted, pairs.len()) {
        (Some(id), _) => pairs
            .into_iter()
            .find(|pair| pair.id == id)
            .with_context(|| format!("pair {id} is not this consumer's")),
        (None, 1) => pairs.into_iter().next().context("no pair"),
        (None, 0) => bail!("this consumer has no pair yet; create one with `armour pairs create`"),
        (None, many) => bail!("this consumer has {many} pairs; choose one with --pair"),
    }
}

impl Consumer {
    /// A lane of the current bundle, open.
    async fn lane(self: &Arc<Self>) -> Result<Lane, Refusal> {
        let unavailable = |kind: &str, detail: String| {
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, kind, detail)
        };
        let bundle = tokio::time::timeout(LANE_WAIT, self.bundle())
            .await
            .map_err(|_| match &*lock(&self.current) {
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
            let changed = self.changed.notified();
            match &*lock(&self.current) {
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
        match &*lock(&self.current) {
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

impl Watcher for Consumer {
    fn bundles(&self) -> Vec<Uuid> {
        self.current()
            .map(|bundle| bundle.id())
            .into_iter()
            .collect()
    }

    fn heartbeat_interval(&self) -> Duration {
        Duration::from_millis(lock(&self.pair).policy.heartbeat_interval_ms.into())
    }

    async fn status(&self, status: BundleStatus) {
        match status.state {
            BundleState::Active => {}
            BundleState::Superseded => return self.superseded(status.id),
            BundleState::Disconnected => return self.kill(status.id),
        }
        // Once it is given up, its lanes may be erased at any moment.
        let held = || {
            let current = self.current().filter(|bundle| bundle.id() == status.id);
            current.is_some_and(|bundle| !bundle.dead.is_cancelled())
        };
        self.disown_strangers(&status, held).await;
    }

    async fn event(&self, event: Event) {
        match (event.kind.as_str(), event.bundle_id) {
            ("bundle.disconnected", Some(bundle)) => self.kill(bundle),
            ("bundle.superseded", Some(bundle)) => self.superseded(bundle),
            ("pair.re-armed", _) => self.changed.notify_waiters(),
            ("pair.updated", _) => {
                let id = lock(&self.pair).id;
                if let Ok(own) = self.session.client().endpoint().await
                    && let Some(pair) = own.pairs.into_iter().find(|pair| pair.id == id)
                {
                    *lock(&self.pair) = pair;
                }
            }
            _ => {}
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
