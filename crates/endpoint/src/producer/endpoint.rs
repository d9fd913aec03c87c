//! The producer's agent, and what it does with events from the control plane.

use std::{sync::Arc, time::Duration};

use armour_api::{BundleStatus, Event, EventKind};
use armour_enclave::Enclave;
use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{bundles::Bundles, upstream::Upstream};
use crate::control_plane::{
    reporter::Reporter,
    session::{Session, Watcher},
};

/// The producer's agent.
pub struct ProducerEndpoint {
    /// Its standing with the control plane.
    pub session: Arc<Session>,
    pub(super) enclave: Enclave,
    pub(super) reporter: Arc<Reporter>,
    pub(super) bundles: Bundles,
    pub(super) upstream: RwLock<Upstream>,
    pub(super) heartbeat: Duration,
    /// Cancelled once no more exchanges are taken.
    pub(super) closed: CancellationToken,
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
}

impl Watcher for ProducerEndpoint {
    fn bundles(&self) -> Vec<Uuid> {
        let held = self.bundles.held();
        held.iter()
            .map(|held| Uuid::from_bytes(held.grant.binding.bundle))
            .collect()
    }

    fn heartbeat_interval(&self) -> Duration {
        self.heartbeat
    }

    async fn status(&self, status: BundleStatus) {
        self.bundles.set_state(status.id, status.state).await;
    }

    async fn event(&self, event: Event) {
        use armour_api::BundleState::{Disconnected, Superseded};
        match (event.known_kind(), event.bundle_id) {
            (Some(EventKind::BundleDisconnected), Some(id)) => {
                self.bundles.set_state(id, Disconnected).await;
                // The next heartbeat acknowledges that; it is sent at once.
                self.session.heartbeat_now();
            }
            (Some(EventKind::BundleSuperseded), Some(id)) => {
                self.bundles.set_state(id, Superseded).await
            }
            _ => {}
        }
    }
}
