//! One pair's side of the consumer: which bundle is in use, or why there is none.

use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use armour_ambient::Random;
use armour_api::Pair;
use armour_enclave::{Enclave, ipc::Mark};
use parking_lot::Mutex;
use tokio::{sync::Notify, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use super::bundle::Bundle;
use crate::{
    control_plane::{lease, reporter::Reporter, session::Session},
    wire::{http_client::HttpClient, problem::Refusal, problem_type::ProblemType},
};

/// Why there is no bundle of a disconnected pair.
pub const DISCONNECTED: &str = "the pair is disconnected; an operator must re-arm it";

/// How long a bundle that is given up may take.
const GIVE_UP: Duration = Duration::from_secs(3);

/// How long calls may take to learn that their bundle has died.
const SETTLE: Duration = Duration::from_secs(1);
/// How long the last reports may take while the control plane is heard of.
const LAST_REPORTS: Duration = Duration::from_secs(30);

/// What all pairs of an agent have in common.
pub struct Shared {
    pub session: Arc<Session>,
    pub enclave: Enclave,
    pub reporter: Arc<Reporter>,
    pub http: HttpClient,
    pub random: Random,
}

/// One pair's side of the consumer.
pub struct ConsumerPair {
    pub(super) shared: Arc<Shared>,
    pub(super) pair: Mutex<Pair>,
    pub(super) via: Option<String>,
    /// Seconds that a caller waits while a lost exchange is repeated.
    pub(super) retry_for: AtomicU64,
    pub(super) current: Mutex<Current>,
    /// All bundles that the enclave holds, the one in use among them.
    pub(super) live: Mutex<Vec<Arc<Bundle>>>,
    /// Notified when `current` changes, or may after another request.
    pub(super) changed: Notify,
    /// Cancelled once the pair is not served here any more.
    pub(super) closing: CancellationToken,
    /// Bundles that are being given up.
    pub(super) giving_up: TaskTracker,
    /// Draws bundles until then.
    pub(super) lifecycle: Mutex<Option<JoinHandle<()>>>,
}

impl Deref for ConsumerPair {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

/// The bundle in use, or why there is none.
pub enum Current {
    /// This one.
    Bundle(Arc<Bundle>),
    /// None, for this reason.
    None(&'static str),
}

impl ConsumerPair {
    pub(super) fn new(
        shared: Arc<Shared>,
        pair: Pair,
        via: Option<String>,
        retry_for: u64,
        current: Current,
    ) -> Self {
        Self {
            shared,
            pair: Mutex::new(pair),
            via,
            retry_for: AtomicU64::new(retry_for),
            current: Mutex::new(current),
            live: Mutex::default(),
            changed: Notify::new(),
            closing: CancellationToken::new(),
            giving_up: TaskTracker::new(),
            lifecycle: Mutex::default(),
        }
    }

    /// Gives up all bundles, and draws none any more. How far their lanes came, for the
    /// control plane to be told.
    pub async fn close(&self) -> Vec<(Uuid, Vec<Mark>)> {
        self.closing.cancel();
        for bundle in self.live.lock().iter() {
            bundle.dead.cancel();
        }
        let lifecycle = self.lifecycle.lock().take();
        self.giving_up.close();
        let ended = async {
            if let Some(lifecycle) = lifecycle {
                let _ = lifecycle.await;
            }
            self.giving_up.wait().await;
        };
        if tokio::time::timeout(GIVE_UP, ended).await.is_err() {
            tracing::warn!("a bundle is still being given up");
        }
        let live = self.live.lock().clone();
        let mut all = Vec::new();
        for bundle in live {
            bundle.dead.cancel();
            all.extend(self.end_lanes(&bundle).await);
        }
        all
    }

    /// Has no ticket of a bundle signed any more. How far its lanes came, which is final.
    pub(super) async fn end_lanes(&self, bundle: &Bundle) -> Option<(Uuid, Vec<Mark>)> {
        let marks = self.enclave.retire(bundle.id.into_bytes()).await.ok()?;
        Some((bundle.id, marks))
    }

    /// Waits until the ledger has the reports of a dead bundle: the producer compares what
    /// is recorded when it hears that the bundle is retired, and a copy of it may have
    /// given the last receipts. That takes as long as the control plane is away.
    pub(super) async fn last_reports(&self, bundle: &Bundle) {
        bundle.quiet(SETTLE).await;
        while tokio::time::timeout(LAST_REPORTS, self.reporter.flush())
            .await
            .is_err()
        {
            if self.session.silence() < LAST_REPORTS {
                tracing::warn!(bundle = %bundle.id, "the ledger takes no reports of a bundle \
                    that is given up");
                return;
            }
        }
    }

    /// Erases what is left of the bundles.
    pub async fn erase_all(&self) {
        let live = self.live.lock().clone();
        for bundle in live {
            self.forget(&bundle).await;
        }
    }

    /// Erases a bundle's roots.
    pub(super) async fn forget(&self, bundle: &Bundle) {
        self.live.lock().retain(|live| live.id != bundle.id);
        let _ = self.enclave.erase(bundle.id.into_bytes()).await;
        self.reporter.forget(bundle.id);
    }

    /// The bundles that are held.
    pub fn live_ids(&self) -> Vec<Uuid> {
        self.live.lock().iter().map(|bundle| bundle.id).collect()
    }

    /// Whether the bundle is held, and its lanes with it.
    pub(super) fn holds(&self, id: Uuid) -> bool {
        let live = self.live.lock();
        live.iter().any(|bundle| bundle.id == id)
    }

    /// Seconds that a caller waits while a lost exchange is repeated.
    pub fn be_patient_for(&self, seconds: u64) {
        self.retry_for.store(seconds, Ordering::Relaxed);
    }

    /// How long a caller waits while a lost exchange is repeated.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.retry_for.load(Ordering::Relaxed))
    }

    /// The current bundle, as soon as there is one. A pair that is known to be
    /// disconnected is refused at once.
    pub async fn bundle(&self) -> Result<Arc<Bundle>, Refusal> {
        loop {
            if self.closing.is_cancelled() {
                return Err(Refusal::stopping());
            }
            let changed = self.changed.notified();
            match &*self.current.lock() {
                Current::Bundle(bundle) if !bundle.dead.is_cancelled() => {
                    return Ok(bundle.clone());
                }
                Current::None(why) if *why == DISCONNECTED => {
                    return Err(Refusal::new(ProblemType::Disconnected, *why));
                }
                Current::Bundle(_) | Current::None(_) => {}
            }
            tokio::select! {
                () = changed => {}
                () = self.closing.cancelled() => {}
            }
        }
    }

    /// Waits until the bundle in use is another one than this.
    pub(super) async fn changed_from(&self, bundle: &Bundle) {
        loop {
            let changed = self.changed.notified();
            match &*self.current.lock() {
                Current::Bundle(current)
                    if current.id == bundle.id && !bundle.dead.is_cancelled() => {}
                _ => return,
            }
            tokio::select! {
                () = changed => {}
                () = bundle.dead.cancelled() => return,
            }
        }
    }

    /// Fails closed: no contact for longer than the lease, no traffic.
    pub fn check_lease(&self, bundle: &Bundle) -> Result<(), Refusal> {
        match lease::is_over(&self.session, &self.reporter, bundle.lease()) {
            true => Err(Refusal::lease_expired()),
            false => Ok(()),
        }
    }

    /// The bundle in use, if there is one.
    pub fn current(&self) -> Option<Arc<Bundle>> {
        match &*self.current.lock() {
            Current::Bundle(bundle) => Some(bundle.clone()),
            Current::None(_) => None,
        }
    }

    /// The pair as it is now, if it is this one.
    pub fn update(&self, pair: &Pair) {
        let mut own = self.pair.lock();
        if own.id == pair.id {
            *own = pair.clone();
        }
    }
}
