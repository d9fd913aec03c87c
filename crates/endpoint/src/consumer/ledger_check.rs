//! Whether the ledger's heads of lanes are our own work.

use armour_api::{BundleStatus, Heartbeat};
use armour_enclave::binding::LaneId;

use super::{
    bundle::Bundle,
    pair::{ConsumerPair, LAST_CHECK},
};

impl ConsumerPair {
    /// The ledger may hold nothing in our name that we did not do. What is not ours
    /// counts only while the bundle's lanes are held.
    pub async fn disown_strangers(&self, status: &BundleStatus, held: impl Fn() -> bool) {
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
    pub async fn last_check(&self, bundle: &Bundle) {
        let heartbeat = Heartbeat {
            bundles: vec![bundle.id()],
            error: None,
            log_size: None,
        };
        let heads = self.session.client().heartbeat(&heartbeat);
        match tokio::time::timeout(LAST_CHECK, heads).await {
            Ok(Ok(ack)) => {
                for status in ack.bundles {
                    self.disown_strangers(&status, || true).await;
                }
            }
            Ok(Err(error)) => tracing::warn!(%error, "no last look at a bundle's lanes"),
            Err(_) => tracing::warn!("no last look at a bundle's lanes in time"),
        }
    }
}
