//! A pair's slots from its beginning to its end: as many run as should.

use std::{sync::Arc, time::Duration};

use armour_api::Pair;
use tokio::task::JoinSet;

use super::{
    pair::{ConsumerPair, Shared},
    release::{Holding, least_used},
    settings::Manner,
    slot::Slot,
    slots::ENOUGH_FOR,
};

/// Slots that are too many may find out by themselves for so long, those first whose producers
/// leave.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);

/// Begins to serve a pair.
pub fn start(shared: Arc<Shared>, pair: Pair, manner: Manner) -> Arc<ConsumerPair> {
    let consumer = Arc::new(ConsumerPair::new(shared, pair, manner));
    *consumer.lifecycle.lock() = Some(tokio::spawn(run(consumer.clone())));
    consumer
}

/// Runs until the pair is not served here any more.
async fn run(consumer: Arc<ConsumerPair>) {
    let slots = &consumer.slots;
    let mut running = JoinSet::new();
    let mut holdings: Vec<Arc<Holding>> = Vec::new();
    while !consumer.closing.is_cancelled() {
        for _ in 0..slots.begin() {
            let holding = Arc::<Holding>::default();
            running.spawn(Slot::new(consumer.clone(), holding.clone()).run());
            holdings.push(holding);
        }
        tokio::select! {
            () = slots.due.notified() => {}
            // Maybe more are granted now.
            () = tokio::time::sleep(ENOUGH_FOR) => {}
            Some(ended) = running.join_next() => if ended.is_err() {
                slots.is_lost();
            },
            () = consumer.closing.cancelled() => break,
        }
        if slots.surplus() > 0 {
            tokio::select! {
                () = tokio::time::sleep(LEAVE_WITHIN) => {}
                () = consumer.closing.cancelled() => break,
            }
            // Those of slots that have ended are held by nobody else.
            holdings.retain(|holding| Arc::strong_count(holding) > 1);
            for holding in least_used(&holdings, slots.surplus()) {
                holding.released.notify_one();
            }
        }
    }
    while running.join_next().await.is_some() {}
}
