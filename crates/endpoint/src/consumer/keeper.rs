//! Keeps idle lanes fresh, and closes those that nobody needs.

use std::{sync::Arc, time::Duration};

use armour_enclave::ipc::Received;
use armour_protocol::v2::{body::Direction, message::SignedTicket};
use tokio::time::Instant;

use super::{
    bundle::{Bundle, Due},
    pair::ConsumerPair,
    transport,
};

/// Looks after a bundle's lanes for ever. What is under way then is concluded in tasks of
/// its own.
pub async fn run(consumer: Arc<ConsumerPair>, bundle: Arc<Bundle>) {
    let interval = Duration::from_millis(bundle.policy.empty_exchange_interval_ms.into());
    loop {
        tokio::time::sleep(interval / 4).await;
        if consumer.check_lease(&bundle).is_err() {
            continue;
        }
        while let Some(due) = bundle.due(interval) {
            tokio::spawn(keep(consumer.clone(), due));
        }
    }
}

/// Sends a ticket without content on an idle lane.
async fn keep(consumer: Arc<ConsumerPair>, due: Due) {
    let (mut lane, head) = match due {
        Due::Refresh(lane) => {
            let head = consumer.enclave.refresh(lane.id()).await;
            (lane, head)
        }
        Due::Close(lane) => {
            let head = consumer.enclave.close(lane.id()).await;
            (lane, head)
        }
    };
    let bundle = lane.bundle.clone();
    let frame = head.as_ref().ok();
    let frame = frame.map(|head| bundle.gate.frame(Direction::Request, head).into());
    lane.under_way(frame);
    let head = match head {
        Ok(head) => head,
        Err(error) => {
            if !bundle.dead.is_cancelled() {
                tracing::warn!(%error, lane = lane.number, "an idle lane cannot be kept");
            }
            return;
        }
    };
    if let Ok(ticket) = SignedTicket::from_bytes(&head) {
        consumer.reporter.add(&bundle.context, ticket.evidence());
    }
    let begin_within = Duration::from_millis(bundle.policy.begin_within_ms.into());
    let until = Instant::now() + begin_within * 3 + Duration::from_secs(5);
    let received = transport::conclude(&consumer, &bundle, lane.id(), &head, Some(until)).await;
    match received {
        Some(Received::Ready) => lane.is_free(),
        Some(Received::Closed) => lane.is_closed(),
        _ if bundle.dead.is_cancelled() => {}
        _ => {
            tracing::warn!(
                lane = lane.number,
                "the producer does not answer on an idle lane"
            );
            consumer
                .session
                .note("the producer does not answer on an idle lane");
        }
    }
}
