//! What a pair does with events from the control plane.

use std::sync::atomic::Ordering;

use armour_api::{BundleState, BundleStatus, Event, EventKind};
use uuid::Uuid;

use super::pair::ConsumerPair;
use crate::backoff::Backoff;

impl ConsumerPair {
    /// A bundle's state as the control plane has it, this pair's or another's.
    pub async fn status(&self, status: BundleStatus) {
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
    pub fn event(&self, event: &Event) {
        match (event.known_kind(), event.bundle_id) {
            (Some(EventKind::BundleDisconnected), Some(bundle)) => self.kill(bundle),
            (Some(EventKind::BundleSuperseded), Some(bundle)) => self.superseded(bundle),
            (Some(EventKind::PairReArmed), _) => self.changed.notify_waiters(),
            _ => {}
        }
    }

    /// A bundle was superseded. If it is the one in use, somebody else requested its
    /// successor in this endpoint's name: it requests one itself only when it has given up
    /// the one before, and no request of its earlier processes is taken after that.
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
