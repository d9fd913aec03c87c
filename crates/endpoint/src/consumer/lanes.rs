//! A lane for a request.

use std::{sync::Arc, time::Duration};

use armour_enclave::ipc::Received;
use armour_protocol::v2::message::SignedTicket;
use futures::{FutureExt, future::select_all};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    bundle::{Bundle, Fresh, Kind, Lane, Place},
    pair::ConsumerPair,
    standing::Waiting,
    transport,
};
use crate::wire::{problem::Refusal, problem_type::ProblemType, version};

/// How long a call waits for a bundle, and for a lane to be opened.
const OPEN_WAIT: Duration = Duration::from_secs(10);
/// A lane that takes longer to open is not waited for where another producer may do better.
const OPEN_ELSEWHERE: Duration = Duration::from_secs(1);

/// What a call needs a lane for.
pub struct Need<'a> {
    /// What the lane is for.
    pub kind: Kind,
    /// When its caller's time is over.
    pub until: Instant,
    /// The producers' endpoints that it was at before.
    pub before: &'a [Uuid],
}

/// Whether a lane was opened in time.
enum Opened {
    /// It was.
    Lane(Lane),
    /// Its bundle is of no more use.
    Gone,
    /// Another producer may do better.
    Slow,
    /// The caller's time is over.
    Late,
}

impl ConsumerPair {
    /// An open lane of one of the bundles in use, and what counts its call as under way.
    ///
    /// # Errors
    /// [`Refusal`]: there is no bundle, no lane is free in time, the producer is not reached, or
    /// the lease is over.
    pub async fn lane(self: &Arc<Self>, need: &Need<'_>) -> Result<(Lane, Waiting), Refusal> {
        let until = need.until.min(Instant::now() + OPEN_WAIT);
        let mut free_until = None;
        let mut before = need.before.to_vec();
        loop {
            let bundles = self.bundles(until).await?;
            for bundle in &bundles {
                self.check_lease(bundle)?;
            }
            let free_until =
                *free_until.get_or_insert_with(|| until.min(Instant::now() + self.lane_wait()));
            let (bundle, place) = match self.choose(&bundles, &before, need.kind) {
                Some(bundle) => {
                    let placed = bundle.place(need.kind, Instant::now()).await;
                    (bundle, placed)
                }
                None => self.first_free(&bundles, need.kind, free_until).await?,
            };
            // It was taken by another call, or the bundle has died.
            let Some(place) = place else {
                if Instant::now() >= until {
                    return Err(lanes_busy(need.kind));
                }
                tokio::task::yield_now().await;
                continue;
            };
            let waiting = bundle.standing.call();
            let fresh = match place {
                Place::Lane(lane) => return Ok((lane, waiting)),
                Place::Fresh(fresh) => fresh,
            };
            match self.opened(&bundle, fresh, until).await {
                Opened::Lane(lane) => return Ok((lane, waiting)),
                Opened::Gone if Instant::now() >= until => {
                    return Err(self.no_lane(&bundle, need.kind));
                }
                Opened::Gone => {}
                Opened::Slow => {
                    waiting.failed();
                    before.push(bundle.standing.producer);
                }
                Opened::Late => return Err(self.no_lane(&bundle, need.kind)),
            }
        }
    }

    /// Opens another lane in place of one whose exchange is not concluded and will not be: the
    /// producer learns by that to end its call. One that is left out learns it when it is called
    /// again.
    pub fn replace(self: &Arc<Self>, lane: Lane) {
        let bundle = lane.bundle.clone();
        if bundle.standing.trouble().is_some() && self.is_elsewhere(&[bundle.standing.producer]) {
            return;
        }
        if let Some(fresh) = lane.into_fresh() {
            tokio::spawn(open(self.clone(), bundle, fresh));
        }
    }

    /// The first lane that is free, of whatever bundle.
    async fn first_free(
        &self,
        bundles: &[Arc<Bundle>],
        kind: Kind,
        until: Instant,
    ) -> Result<(Arc<Bundle>, Option<Place>), Refusal> {
        let places = bundles.iter().map(|bundle| {
            let bundle = bundle.clone();
            async move {
                let place = tokio::select! {
                    place = bundle.place(kind, until) => place,
                    () = bundle.dead.cancelled() => None,
                };
                (bundle, place)
            }
            .boxed()
        });
        let changed = self.changed.notified();
        tokio::select! {
            ((bundle, place), ..) = select_all(places) => match place {
                None if Instant::now() >= until => Err(lanes_busy(kind)),
                place => Ok((bundle, place)),
            },
            // Another bundle may have lanes.
            () = changed => Ok((bundles[0].clone(), None)),
        }
    }

    async fn opened(
        self: &Arc<Self>,
        bundle: &Arc<Bundle>,
        fresh: Fresh,
        until: Instant,
    ) -> Opened {
        // It goes on though the request should leave.
        let opening = tokio::spawn(open(self.clone(), bundle.clone(), fresh));
        let slow = async {
            tokio::select! {
                _ = bundle.standing.troubled() => {}
                () = tokio::time::sleep(OPEN_ELSEWHERE) => {}
            }
            self.elsewhere(bundle).await;
        };
        tokio::select! {
            // A lane that one who waits gets of a dead bundle is of no use.
            biased;
            () = bundle.dead.cancelled() => Opened::Gone,
            () = bundle.leaving.cancelled() => Opened::Gone,
            opened = opening => match opened {
                Ok(Some(lane)) => Opened::Lane(lane),
                _ => Opened::Gone,
            },
            () = slow => Opened::Slow,
            () = tokio::time::sleep_until(until) => Opened::Late,
        }
    }

    fn no_lane(&self, bundle: &Bundle, kind: Kind) -> Refusal {
        match (bundle.is_heard(), bundle.standing.other_version()) {
            (true, _) => lanes_busy(kind),
            (false, Some(theirs)) => version::refusal(theirs),
            (false, None) => Refusal::new(
                ProblemType::ProducerUnreachable,
                "no lane to the producer could be opened in time",
            ),
        }
    }
}

fn lanes_busy(kind: Kind) -> Refusal {
    let detail = match kind {
        Kind::Call => "every lane is busy",
        Kind::Stream => "every lane is busy that streams may take",
    };
    Refusal::new(ProblemType::LanesBusy, detail)
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
