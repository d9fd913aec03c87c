//! What the control plane has assigned to this endpoint: how many bundles of each pair it should
//! hold, and what their producers are. Asked for whenever that may have changed.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use armour_api::{PairAssignment, ProducerPhase};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{pair::ConsumerPair, pair_manager::PairManager, standing::Phase};
use crate::backoff::Backoff;

/// Agents that are nudged at the same moment ask within this time.
const JITTER_MS: u16 = 500;
/// And no more often.
const INTERVAL: Duration = Duration::from_secs(2);

/// What is known of the assignments.
#[derive(Default)]
pub struct Assigned {
    seen: Mutex<Option<u64>>,
    due: Notify,
}

impl Assigned {
    /// Their number now, by a heartbeat's answer.
    pub fn is_now(&self, number: u64) {
        if *self.seen.lock() != Some(number) {
            self.due.notify_one();
        }
    }

    /// They have changed.
    pub fn changed(&self) {
        self.due.notify_one();
    }
}

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
                (ProducerPhase::Serving | ProducerPhase::NotServing, Phase::Leaving) => {}
                (ProducerPhase::Serving, _) => standing.set_phase(Phase::Serving),
                (ProducerPhase::NotServing, _) => standing.set_phase(Phase::NotServing),
                (ProducerPhase::Draining | ProducerPhase::Gone, _) => bundle.producer_leaves(),
            }
            let before = bundle
                .is_one_too_many
                .swap(told.rebalance, Ordering::Relaxed);
            if told.rebalance && !before {
                bundle.rebalance.notify_one();
            }
        }
        self.slots.assigned(assigned.wanted);
    }
}
