//! What a pair does with events from the control plane.

use std::sync::atomic::Ordering;

use armour_api::{BundleState, BundleStatus, Event, EventKind};
use uuid::Uuid;

use super::pair::ConsumerPair;

impl ConsumerPair {
    /// A bundle's state as the control plane has it, this pair's or another's.
    pub async fn status(&self, status: BundleStatus) {
        match status.state {
            BundleState::Active | BundleState::Superseded | BundleState::Retired => {
                // Once it is given up, its lanes may be erased at any moment.
                let held = || self.holds(status.id);
                if held()
                    && !status.lanes.is_empty()
                    && let Err(error) = self.session.disown_heads(&status, held).await
                {
                    tracing::warn!(%error, "cannot disown yet");
                }
            }
            BundleState::Disconnected => {}
        }
        match status.state {
            BundleState::Active => {}
            BundleState::Superseded => self.superseded(status.id),
            BundleState::Retired => self.kill(status.id, false),
            BundleState::Disconnected => self.kill(status.id, true),
        }
    }

    /// Something happened, to this pair or to another.
    pub fn event(&self, event: &Event) {
        match (event.known_kind(), event.bundle_id) {
            (Some(EventKind::BundleDisconnected), Some(bundle)) => self.kill(bundle, true),
            (Some(EventKind::BundleSuperseded), Some(bundle)) => self.superseded(bundle),
            (Some(EventKind::BundleRetired), Some(bundle)) => self.kill(bundle, false),
            (Some(EventKind::PairReArmed | EventKind::EndpointStarted), _) => {
                self.changed.notify_waiters();
            }
            _ => {}
        }
    }

    /// A bundle was superseded: by our own draw of another, then calls under way on it end
    /// by themselves; by a later start of its producer, which does not hold it; or by a draw
    /// in this endpoint's name that is not ours, of which the chain of links will tell.
    fn superseded(&self, id: Uuid) {
        let Some(bundle) = self.serving().into_iter().find(|bundle| bundle.id == id) else {
            return;
        };
        if !bundle.renewing.load(Ordering::Relaxed) {
            tracing::warn!(bundle = %id, "the bundle was superseded, and not by our own draw");
            bundle.kill(false);
            self.session.heartbeat_now();
        }
    }

    /// A bundle is of no more use, if it is this pair's; `condemned` if it was disconnected.
    pub fn kill(&self, id: Uuid, condemned: bool) {
        let live = self.live.lock();
        if let Some(bundle) = live.iter().find(|bundle| bundle.id == id) {
            bundle.kill(condemned);
        }
    }
}
