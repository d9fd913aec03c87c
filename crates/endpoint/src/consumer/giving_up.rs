//! Gives up bundles that were in use.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio_util::task::AbortOnDropHandle;

use super::{bundle::Bundle, pair::ConsumerPair, probing};

/// Gives up a bundle that was in use, once the calls under way on it have ended if there is
/// hope for them.
pub(super) fn give_up_later(consumer: &Arc<ConsumerPair>, bundle: Arc<Bundle>, grace: bool) {
    let later = consumer.clone();
    consumer.giving_up.spawn(async move {
        // Those under way learn it if their producer falls silent.
        let probing = tokio::spawn(probing::run(later.clone(), bundle.clone()));
        let _probing = AbortOnDropHandle::new(probing);
        if grace {
            let grace = Duration::from_millis(bundle.policy.supersede_grace_ms.into());
            tokio::select! {
                () = bundle.quiet(grace) => {}
                () = bundle.dead.cancelled() => {}
                () = later.closing.cancelled() => return,
            }
        } else {
            bundle.leaving.cancel();
            let grace = Duration::from_millis(bundle.policy.begin_within_ms.into());
            if !bundle.dead.is_cancelled() {
                bundle.quiet(grace).await;
            }
        }
        bundle.kill(false);
        if later.closing.is_cancelled() {
            // Retired together with all others.
            return;
        }
        let condemned = bundle.condemned.load(Ordering::Relaxed);
        // Also of one that was disconnected: a copy may have used it until then, and what the
        // ledger holds beyond this list shows that.
        if let Some(lanes) = later.end_lanes(&bundle).await {
            // Nothing more is recorded of one that was disconnected.
            if !condemned {
                tokio::select! {
                    () = later.last_reports(&bundle) => {}
                    () = later.closing.cancelled() => return,
                }
            }
            if let Err(error) = later.session.retire(vec![lanes], false).await {
                tracing::warn!(%error, bundle = %bundle.id, "a bundle is not retired");
            }
        }
        later.forget(&bundle).await;
        if condemned {
            // The next heartbeat acknowledges that; it is sent at once.
            later.session.heartbeat_now();
        }
    });
}
