//! Gives up bundles that were in use.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::{bundle::Bundle, pair::ConsumerPair, probing};

/// What is waited for before a bundle is given up. It takes no new calls.
#[derive(Debug, Clone, Copy)]
pub(super) enum Grace {
    /// Nothing: there is no hope for what is under way.
    None,
    /// What is under way, for as long as the policy lets a bundle that is superseded.
    Calls,
    /// The same, and streams until the bundle ends.
    Streams { until: Instant },
}

impl Grace {
    /// Until when a bundle is waited for; none if it is not.
    fn until(self, bundle: &Bundle) -> Option<Instant> {
        let usual = Duration::from_millis(bundle.policy.supersede_grace_ms.into());
        let usual = Instant::now() + usual;
        match self {
            Self::None => None,
            Self::Streams { until } if bundle.has_streams() => Some(until.max(usual)),
            Self::Calls | Self::Streams { .. } => Some(usual),
        }
    }
}

/// Gives up a bundle that was in use, once the calls under way on it have ended if there is
/// hope for them.
pub(super) fn give_up_later(consumer: &Arc<ConsumerPair>, bundle: Arc<Bundle>, grace: Grace) {
    let later = consumer.clone();
    consumer.giving_up.spawn(async move {
        // Those under way learn it if their producer falls silent.
        let probing = tokio::spawn(probing::run(later.clone(), bundle.clone()));
        let _probing = AbortOnDropHandle::new(probing);
        if let Some(until) = grace.until(&bundle) {
            tokio::select! {
                () = bundle.quiet(until - Instant::now()) => {}
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

#[cfg(test)]
mod tests {
    use armour_ambient::Random;
    use armour_api::Policy;
    use armour_protocol::v2::gate::Gate;
    use uuid::Uuid;

    use super::*;
    use crate::{
        consumer::{bundle::Kind, standing::Standing},
        testing,
    };

    #[tokio::test(start_paused = true)]
    async fn streams_on_a_bundle_that_is_one_too_many_last_as_long_as_it_would() {
        let standing = Standing::new(Uuid::nil(), Random::seeded(1));
        let (context, gate) = (testing::Lane::open().context, Gate::from_bytes([1; 32]));
        let nowhere = "http://127.0.0.1:9".to_owned();
        let bundle = Bundle::new(Policy::default(), context, gate, nowhere, standing);
        let usual = Duration::from_millis(bundle.policy.supersede_grace_ms.into());
        let now = Instant::now();
        let until = now + Duration::from_secs(3_000);
        let grace = Grace::Streams { until };
        assert_eq!(grace.until(&bundle), Some(now + usual), "it has none");
        let stream = bundle.place(Kind::Stream, now).await.unwrap();
        assert!(bundle.has_streams());
        assert_eq!(grace.until(&bundle), Some(until));
        assert_eq!(Grace::Calls.until(&bundle), Some(now + usual));
        assert_eq!(Grace::None.until(&bundle), None);
        drop(stream);
        assert!(!bundle.has_streams());
    }
}
