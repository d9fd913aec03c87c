//! A lane for a request.

use std::{sync::Arc, time::Duration};

use armour_enclave::ipc::Received;
use armour_protocol::v2::message::SignedTicket;
use tokio::time::Instant;

use super::{
    bundle::{Bundle, Fresh, Lane, Place},
    pair::{ConsumerPair, Current},
    transport,
};
use crate::wire::{problem::Refusal, problem_type::ProblemType};

/// How long a request waits for a bundle or a free lane.
const LANE_WAIT: Duration = Duration::from_secs(10);

impl ConsumerPair {
    /// An open lane of the current bundle.
    pub async fn lane(self: &Arc<Self>, until: Instant) -> Result<Lane, Refusal> {
        let until = until.min(Instant::now() + LANE_WAIT);
        loop {
            let bundle = tokio::time::timeout_at(until, self.bundle())
                .await
                .map_err(|_| match &*self.current.lock() {
                    Current::None(why) => Refusal::new(ProblemType::Disconnected, *why),
                    Current::Bundle(_) => {
                        Refusal::new(ProblemType::Disconnected, "no bundle in time")
                    }
                })??;
            self.check_lease(&bundle)?;
            let lane = tokio::select! {
                // A lane that one who waits gets of a dead bundle is of no use.
                biased;
                () = self.changed_from(&bundle) => continue,
                lane = self.lane_of(&bundle, until) => lane,
            };
            if let Some(lane) = lane {
                return Ok(lane);
            }
            if Instant::now() >= until {
                return Err(self.no_lane(&bundle));
            }
        }
    }

    /// Opens another lane in place of one whose exchange is not concluded and will not be: the
    /// producer learns by that to end its call.
    pub fn replace(self: &Arc<Self>, lane: Lane) {
        let bundle = lane.bundle.clone();
        if let Some(fresh) = lane.into_fresh() {
            tokio::spawn(open(self.clone(), bundle, fresh));
        }
    }

    fn no_lane(&self, bundle: &Bundle) -> Refusal {
        match bundle.is_heard() {
            true => Refusal::new(ProblemType::LanesBusy, "every lane is busy"),
            false => Refusal::new(
                ProblemType::ProducerUnreachable,
                "no lane to the producer could be opened in time",
            ),
        }
    }

    async fn lane_of(self: &Arc<Self>, bundle: &Arc<Bundle>, until: Instant) -> Option<Lane> {
        match bundle.place(until).await? {
            Place::Lane(lane) => Some(lane),
            // It goes on though the request should leave.
            Place::Fresh(fresh) => {
                let opening = tokio::spawn(open(self.clone(), bundle.clone(), fresh));
                tokio::time::timeout_at(until, opening).await.ok()?.ok()?
            }
        }
    }
}

/// Opens a lane: by a ticket without content, which is sent again, word for word, for as
/// long as the bundle lives. Nothing is sealed on the lane before the enclave has verified
/// the receipt.
async fn open(consumer: Arc<ConsumerPair>, bundle: Arc<Bundle>, mut fresh: Fresh) -> Option<Lane> {
    if bundle.dead.is_cancelled() {
        bundle.not_opened(fresh);
        return None;
    }
    let lost = fresh.lost.as_ref().map(|lost| lost.lane);
    if let Some(lost) = lost {
        let _ = consumer.enclave.give_up(bundle.lane_id(lost)).await;
        consumer.reporter.give_up(bundle.lane_id(lost));
    }
    let opened = consumer.enclave.open(bundle.id.into_bytes(), lost).await;
    let (number, head) = match opened {
        Ok(opened) => opened,
        // It died meanwhile.
        Err(error) if error.is("retired") => {
            bundle.not_opened(fresh);
            return None;
        }
        Err(error) => {
            tracing::warn!(%error, bundle = %bundle.id, "cannot open a lane");
            if error.is("used-up") {
                bundle.useless.notify_one();
            }
            bundle.not_opened(fresh);
            tokio::time::sleep(Duration::from_millis(50)).await;
            return None;
        }
    };
    if let Ok(ticket) = SignedTicket::from_bytes(&head) {
        consumer.reporter.add(&bundle.context, ticket.evidence());
    }
    let id = bundle.lane_id(number);
    match transport::conclude(&consumer, &bundle, id, &head, None).await {
        Some(Received::Ready) => {
            // The producer knows now that the lane was given up, and can be reached.
            let unseen = fresh.lost.as_mut().and_then(|lost| lost.unseen.take());
            if let Some(unseen) = unseen {
                tokio::spawn(transport::show(consumer, bundle.clone(), unseen));
            }
            Some(bundle.opened(fresh, number))
        }
        _ => {
            bundle.lost(number);
            None
        }
    }
}
