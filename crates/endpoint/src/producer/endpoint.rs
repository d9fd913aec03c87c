//! The producer's agent, and what it does with events from the control plane.

use std::{sync::Arc, time::Duration};

use armour_api::{BundleState, BundleStatus, Event, EventKind};
use armour_enclave::Enclave;
use parking_lot::RwLock;
use tokio::sync::{Notify, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use super::{bundles::Bundles, clock::ProducerClock, leaving::Leaving, upstream::Upstream};
use crate::{
    access_log::AccessLog,
    control_plane::{
        dead::Dead,
        reporter::Reporter,
        session::{Session, Watcher},
    },
};

/// The producer's agent.
pub struct ProducerEndpoint {
    /// Its standing with the control plane.
    pub session: Arc<Session>,
    pub(super) enclave: Enclave,
    pub(super) reporter: Arc<Reporter>,
    pub(super) bundles: Arc<Bundles>,
    pub(super) upstream: RwLock<Upstream>,
    pub(super) heartbeat: Duration,
    /// The shortest lease of its pairs.
    pub(super) lease: Duration,
    pub(super) clock: ProducerClock,
    /// Calls under way.
    pub(super) running: TaskTracker,
    /// Cancelled once no more calls are begun.
    pub(super) closed: CancellationToken,
    /// How many calls the upstream takes at once, if that is bounded.
    pub(super) places: Option<Arc<Semaphore>>,
    pub(super) leaving: Leaving,
    pub(super) access_log: AccessLog,
    /// The upstream is to be checked now.
    pub(super) check_due: Notify,
}

impl ProducerEndpoint {
    /// Where requests go from now on.
    pub fn send_to(&self, upstream: Upstream) {
        *self.upstream.write() = upstream;
    }

    /// Where requests go now.
    pub fn upstream(&self) -> Upstream {
        self.upstream.read().clone()
    }

    /// Calls under way.
    pub fn calls(&self) -> usize {
        self.running.len()
    }

    /// Waits until the bundles that were assigned to it are acknowledged: some, and all that
    /// there were when it asked.
    pub async fn settled(&self) {
        self.bundles.settled().await;
    }

    /// Gives up every bundle, and this start of the endpoint with them.
    pub async fn leave(&self) {
        let mut bundles = Vec::new();
        for id in self.bundles.kept() {
            if let Ok(marks) = self.enclave.retire(id.into_bytes()).await {
                bundles.push((id, marks));
            }
        }
        self.session.leave(bundles).await;
    }
}

impl Watcher for ProducerEndpoint {
    fn bundles(&self) -> Vec<Uuid> {
        self.bundles.named()
    }

    fn heartbeat_interval(&self) -> Duration {
        self.heartbeat
    }

    fn lease(&self) -> Duration {
        self.lease
    }

    async fn status(&self, status: BundleStatus) {
        let (bundles, id, state) = (&self.bundles, status.id, status.state);
        if !bundles.keeps(id) {
            return;
        }
        let disowned = self
            .session
            .disown_heads(&status, || bundles.keeps(id))
            .await;
        bundles.set_state(id, state).await;
        match disowned {
            Ok(false) => {
                if bundles.compared(id, state).await {
                    self.reporter.forget(id);
                }
            }
            // The lane may have gone on before that was recorded: the next one compares, too.
            Ok(true) => {}
            Err(error) => tracing::warn!(%error, "cannot disown yet"),
        }
    }

    async fn dead(&self, dead: Dead) {
        let state = match dead.disconnected {
            true => BundleState::Disconnected,
            // Its consumer retires it, once it learns that it is not served any more.
            false => BundleState::Retired,
        };
        self.bundles.set_state(dead.bundle, state).await;
    }

    async fn event(&self, event: Event) {
        let state = match event.known_kind() {
            Some(EventKind::BundleMinted) => return self.bundles.refresh().await,
            Some(EventKind::BundleDisconnected) => BundleState::Disconnected,
            Some(EventKind::BundleRetired) => BundleState::Retired,
            Some(EventKind::BundleSuperseded) => BundleState::Superseded,
            _ => return,
        };
        if let Some(id) = event.bundle_id {
            self.bundles.set_state(id, state).await;
            if state == BundleState::Disconnected {
                // The next heartbeat acknowledges that; it is sent at once.
                self.session.heartbeat_now();
            }
        }
    }
}
