//! What the control plane has assigned to this endpoint: how many bundles of each pair it should
//! hold, and what their producers are. Asked for whenever that may have changed.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{pair::ConsumerPair, pair_manager::PairManager, standing::Phase};
use crate::backoff::Backoff;
use armour_api::{PairAssignment, ProducerPhase};

/// Agents that are nudged at the same moment ask within this time.
const JITTER_MS: u16 = 500;
/// And no more often.
const INTERVAL: Duration = Duration::from_secs(2);

/// Asks whenever it is due, for ever.
pub async fn follow(pairs: Arc<PairManager>) {
    let mut backoff = Backoff::default();
    loop {
        pairs.assigned.due.notified().await;
        let drawn = u16::from_be_bytes(pairs.shared.random.bytes()) % JITTER_MS;
        tokio::time::sleep(Duration::from_millis(drawn.into())).await;
        match pairs.shared.session.client().assignments().await {
            Ok(assignments) => {
                backoff = Backoff::default();
                for consumer in pairs.all() {
                    for assigned in &assignments.pairs {
                        consumer.assigned(assigned);
                    }
                }
                *pairs.assigned.seen.lock() = Some(assignments.version);
                tokio::time::sleep(INTERVAL).await;
            }
            Err(error) => {
                tracing::warn!(%error, "cannot ask for the assignments");
                if error.is_passing() {
                    pairs.assigned.changed();
                }
                backoff.wait().await;
            }
        }
    }
}

impl ConsumerPair {
    /// What is assigned to this pair, or to another.
    fn assigned(&self, assigned: &PairAssignment) {
        if self.pair.lock().id != assigned.pair_id {
            return;
        }
        let serving = self.serving();
        for told in &assigned.bundles {
            let bundle = serving.iter().find(|bundle| bundle.id == told.bundle_id);
            let Some(bundle) = bundle else { continue };
            let standing = &bundle.standing;
            match (told.phase, standing.phase()) {
                // What it has signed itself may be newer.
                (_, Phase::Stopped) => {}
                (ProducerPhase::Serving | ProducerPhase::NotServing, Phase::Leaving) => {}
                (ProducerPhase::Serving, _) => standing.set_phase(Phase::Serving),
                (ProducerPhase::NotServing, _) => standing.set_phase(Phase::NotServing),
                (ProducerPhase::Draining | ProducerPhase::Gone, _) => {
                    bundle.producer_leaves(Phase::Leaving);
                }
            }
            let before = bundle
                .is_one_too_many
                .swap(told.rebalance, Ordering::Relaxed);
            if told.rebalance && !before {
                bundle.rebalance.notify_one();
            }
        }
        // Those whose APIs fail for now are not counted in what is wanted: none that serves is given
        // up for them.
        self.slots.assigned(assigned.wanted + self.not_serving());
    }

    /// How many bundles are held whose producers' APIs fail for now.
    pub(super) fn not_serving(&self) -> u32 {
        let serving = self.serving();
        let failing = serving
            .iter()
            .filter(|bundle| bundle.standing.phase() == Phase::NotServing);
        u32::try_from(failing.count()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use armour_api::{AssignedBundle, Policy};
    use uuid::Uuid;

    use super::*;
    use crate::{
        consumer::{bundle::Kind, testing::consumer_of},
        control_plane::testing::{Answer, ControlPlane},
        testing::ends::Ends,
    };

    /// What each of two bundles' producers is, and what becomes of them.
    async fn told(phases: [ProducerPhase; 2]) -> Arc<ConsumerPair> {
        let control_plane = ControlPlane::start(|_, _| Answer::Json(serde_json::Value::Null)).await;
        let ends = Ends::several(2, 4).await;
        let nowhere = "http://127.0.0.1:9".to_owned();
        let producers: Vec<_> = ends.iter().map(|ends| (ends, nowhere.clone())).collect();
        let consumer = consumer_of(&producers, Policy::default(), &control_plane);
        let bundles = consumer.serving().into_iter().zip(phases);
        let bundles = bundles.map(|(bundle, phase)| AssignedBundle {
            bundle_id: bundle.id,
            producer_endpoint_id: bundle.standing.producer,
            phase,
            rebalance: false,
        });
        consumer.assigned(&PairAssignment {
            pair_id: Uuid::from_bytes([2; 16]),
            wanted: 2,
            bundles: bundles.collect(),
        });
        consumer
    }

    /// Which of them calls go to.
    fn called(consumer: &ConsumerPair) -> Vec<bool> {
        let serving = consumer.serving();
        let chosen: Vec<_> = (0..50)
            .map(|_| consumer.choose(&serving, &[], Kind::Call).unwrap().id)
            .collect();
        let is_called = |id| chosen.contains(&id);
        serving.iter().map(|bundle| is_called(bundle.id)).collect()
    }

    #[tokio::test]
    async fn calls_leave_whose_producer_drains_or_has_no_api() {
        use ProducerPhase::{Draining, Gone, NotServing, Serving};
        for (phases, expected) in [
            ([Serving, Serving], [true, true]),
            ([Draining, Serving], [false, true]),
            ([Serving, Gone], [true, false]),
            ([NotServing, Serving], [false, true]),
            ([Draining, NotServing], [false, true]),
            ([Draining, Gone], [true, true]),
        ] {
            let consumer = told(phases).await;
            assert_eq!(called(&consumer), expected, "{phases:?}");
            for (bundle, phase) in consumer.serving().iter().zip(phases) {
                let moves = matches!(phase, Draining | Gone);
                assert_eq!(bundle.moves.is_cancelled(), moves);
            }
        }
    }
}
