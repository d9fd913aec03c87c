//! One pair's side of the consumer.

use std::{
    collections::HashSet,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use armour_ambient::Random;
use armour_api::{Pair, PairAssignment};
use armour_enclave::{Enclave, ipc::Mark};
use parking_lot::Mutex;
use tokio::{sync::Notify, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use super::{
    bundle::Bundle, refusal_log::RefusalLog, retry_budget::RetryBudget, serving::Serving,
    settings::Manner, slots::Slots,
};
use crate::{
    access_log::AccessLog,
    control_plane::{lease, reporter::Reporter, session::Session},
    wire::{http_client::HttpClient, problem::Refusal},
};

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
    pub access_log: AccessLog,
}

/// One pair's side of the consumer.
pub struct ConsumerPair {
    pub(super) shared: Arc<Shared>,
    pub(super) pair: Mutex<Pair>,
    pub(super) via: Option<String>,
    /// Seconds that a caller waits while a lost exchange is repeated.
    retry_for: AtomicU64,
    /// Milliseconds that a call waits for a free lane.
    lane_wait_ms: AtomicU64,
    /// The bundles in use.
    pub(super) serving: Mutex<Serving>,
    /// How many there should be.
    pub(super) slots: Slots,
    /// How much is made a second time.
    pub(super) retries: RetryBudget,
    /// What was refused, for the log.
    pub(super) refused: RefusalLog,
    /// All bundles that the enclave holds, those in use among them.
    pub(super) live: Mutex<Vec<Arc<Bundle>>>,
    /// All bundles that were ever taken here.
    pub(super) taken: Mutex<HashSet<Uuid>>,
    /// What the control plane has assigned last.
    pub(super) assignment: Mutex<Option<PairAssignment>>,
    /// Notified when `serving` changes, or may after another request.
    pub(super) changed: Notify,
    /// Held while a bundle is drawn and installed: one after the other.
    pub(super) drawing: tokio::sync::Mutex<()>,
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

impl ConsumerPair {
    pub(super) fn new(shared: Arc<Shared>, pair: Pair, manner: Manner) -> Self {
        Self {
            shared,
            pair: Mutex::new(pair),
            via: manner.via,
            retry_for: AtomicU64::new(manner.retry_for),
            lane_wait_ms: AtomicU64::new(manner.lane_wait_ms),
            serving: Mutex::new(Serving::new()),
            slots: Slots::new(),
            retries: RetryBudget::new(),
            refused: RefusalLog::default(),
            live: Mutex::default(),
            taken: Mutex::default(),
            assignment: Mutex::default(),
            changed: Notify::new(),
            drawing: tokio::sync::Mutex::default(),
            closing: CancellationToken::new(),
            giving_up: TaskTracker::new(),
            lifecycle: Mutex::default(),
        }
    }

    /// Its endpoint has ended: there are to be no bundles any more.
    pub(super) fn has_ended(&self) {
        self.closing.cancel();
        // Nobody tells an endpoint that has ended what else does.
        for bundle in self.live.lock().iter() {
            bundle.kill(false);
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

    /// Seconds that a caller waits while a lost exchange is repeated, and milliseconds that it
    /// waits for a free lane.
    pub fn be_patient_for(&self, retry_for: u64, lane_wait_ms: u64) {
        self.retry_for.store(retry_for, Ordering::Relaxed);
        self.lane_wait_ms.store(lane_wait_ms, Ordering::Relaxed);
    }

    /// How long a caller waits while a lost exchange is repeated.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.retry_for.load(Ordering::Relaxed))
    }

    /// How long a call waits for a free lane.
    pub(super) fn lane_wait(&self) -> Duration {
        Duration::from_millis(self.lane_wait_ms.load(Ordering::Relaxed))
    }

    /// Fails closed: no contact for longer than the lease, no traffic.
    pub fn check_lease(&self, bundle: &Bundle) -> Result<(), Refusal> {
        match lease::is_over(&self.session, &self.reporter, bundle.lease()) {
            true => Err(Refusal::lease_expired()),
            false => Ok(()),
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
