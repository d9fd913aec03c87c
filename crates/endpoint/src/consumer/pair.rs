//! One pair's side of the consumer: which bundle is in use, or why there is none.

use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use armour_api::Pair;
use armour_enclave::Enclave;
use parking_lot::Mutex;
use tokio::{sync::Notify, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::bundle::Bundle;
use crate::{
    control_plane::{reporter::Reporter, session::Session},
    wire::{http_client::HttpClient, problem::Refusal, problem_type::ProblemType},
};

/// Why there is no bundle of a disconnected pair.
pub const DISCONNECTED: &str = "the pair is disconnected; an operator must re-arm it";

/// How long a bundle that is given up waits for a last check of the ledger.
pub const LAST_CHECK: Duration = Duration::from_secs(3);

/// What all pairs of an agent have in common.
pub struct Shared {
    pub session: Arc<Session>,
    pub enclave: Enclave,
    pub reporter: Arc<Reporter>,
    pub http: HttpClient,
}

/// One pair's side of the consumer.
pub struct ConsumerPair {
    pub(super) shared: Arc<Shared>,
    pub(super) pair: Mutex<Pair>,
    pub(super) via: Option<String>,
    /// Seconds that a caller waits while a lost exchange is repeated.
    pub(super) retry_for: AtomicU64,
    pub(super) current: Mutex<Current>,
    /// Notified when `current` changes, or may after another request.
    pub(super) changed: Notify,
    /// Cancelled once the pair is not served here any more.
    pub(super) closing: CancellationToken,
    /// Requests bundles until then.
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
    /// Gives up the bundle, and requests none any more: its lanes are compared with the
    /// ledger's a last time, and erased.
    pub async fn close(&self) {
        self.closing.cancel();
        if let Some(bundle) = self.current() {
            bundle.dead.cancel();
        }
        let lifecycle = self.lifecycle.lock().take();
        if let Some(lifecycle) = lifecycle
            && tokio::time::timeout(LAST_CHECK * 2, lifecycle)
                .await
                .is_err()
        {
            tracing::warn!("a bundle is still being given up");
        }
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
                Current::Bundle(bundle) => return Ok(bundle.clone()),
                Current::None(why) if *why == DISCONNECTED => {
                    return Err(Refusal::new(ProblemType::Disconnected, *why));
                }
                Current::None(_) => {}
            }
            changed.await;
        }
    }

    /// Fails closed: no contact for longer than the lease, no traffic.
    pub fn check_lease(&self, bundle: &Bundle) -> Result<(), Refusal> {
        let lease = bundle.grant.lease();
        if self.session.silence() > lease || self.reporter.is_behind(lease) {
            return Err(Refusal::lease_expired());
        }
        Ok(())
    }

    /// What a caller is told whose exchange could not be concluded.
    pub fn outcome_unknown(&self) -> Refusal {
        Refusal::new(
            ProblemType::OutcomeUnknown,
            "the exchange could not be concluded; the request may or may not have been served",
        )
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
