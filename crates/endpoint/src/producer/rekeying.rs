//! What re-keys an accepted call's streams: its consumer asks, and is answered once.

use armour_enclave::{EnclaveError, binding::LaneId, ipc::SubAccepted};
use armour_protocol::v2::{
    body::Direction,
    message::{Request, Response},
    proxy::Epoch,
    rekey::{SignedSubReceipt, SignedSubTicket, SubBody},
};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    sync::{Mutex as AsyncMutex, Notify},
    time::Instant,
};

use super::{bundles::Held, endpoint::ProducerEndpoint};
use crate::{
    metrics::METRICS,
    rekey_times::RekeyTimes,
    wire::{keyring::Keyring, sealing::Sealing, stream::PeerMark},
};

/// An exchange's streams, as far as they are re-keyed.
pub struct Rekeying {
    /// The response.
    pub response: Sealing<Response>,
    /// The keys of the request.
    pub request: Keyring<Request>,
    /// How far the request has been verified.
    pub peer: PeerMark,
    answered: AsyncMutex<Option<(SubBody, Bytes)>>,
    /// When they were re-keyed last, or could have been first.
    since: Mutex<Option<Instant>>,
    began: Notify,
}

/// Why a sub-ticket is not answered.
pub enum Unanswered {
    /// Another one took its place: the consumer was copied.
    Conflict,
    /// It does not follow here, or is nobody's.
    Elsewhere,
    /// The bundle, its streams or the enclave are gone.
    Gone,
}

impl Rekeying {
    /// Of an exchange whose streams have not begun.
    pub fn new() -> Self {
        Self {
            response: Sealing::later(),
            request: Keyring::default(),
            peer: PeerMark::default(),
            answered: AsyncMutex::default(),
            since: Mutex::new(None),
            began: Notify::new(),
        }
    }

    /// Its streams may be re-keyed from here on, if not before.
    pub fn begins(&self) {
        self.since.lock().get_or_insert_with(Instant::now);
        self.began.notify_waiters();
    }

    /// How often they were re-keyed.
    #[cfg(test)]
    pub async fn count(&self) -> u32 {
        let answered = self.answered.lock().await;
        answered.as_ref().map_or(0, |(last, _)| last.k)
    }

    /// Waits until its consumer has not re-keyed them for too long.
    pub async fn overdue(&self, times: RekeyTimes) {
        loop {
            let began = self.began.notified();
            let since = *self.since.lock();
            let Some(since) = since else {
                began.await;
                continue;
            };
            tokio::time::sleep_until(since + times.patience()).await;
            if *self.since.lock() == Some(since) {
                return;
            }
        }
    }

    /// Answers a sub-ticket that passed the gate: one that was answered last, with the same
    /// bytes.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn answer(
        &self,
        producer: &ProducerEndpoint,
        held: &Held,
        lane: LaneId,
        ticket: &SignedSubTicket,
    ) -> Result<Bytes, Unanswered> {
        let body = ticket.unverified().body();
        // One at a time, in whatever connections they come.
        let mut answered = self.answered.lock().await;
        match &*answered {
            Some((last, frame)) if *last == body => return Ok(frame.clone()),
            Some((last, _)) if body.k < last.k => return Err(Unanswered::Elsewhere),
            _ => {}
        }
        if self.request.is_full() {
            return Err(Unanswered::Gone);
        }
        let peer = self.peer.get().to_bytes().to_vec();
        let ask = async {
            let asked = producer.enclave.answer_sub(lane, ticket.to_bytes(), peer);
            match asked.await {
                Ok(SubAccepted::Answered { receipt, epochs }) => {
                    let request = Epoch::<Request>::from_bytes(&epochs.request);
                    let response = Epoch::<Response>::from_bytes(&epochs.response);
                    match (request, response) {
                        (Ok(request), Ok(response)) => (Some(response), Ok((receipt, request))),
                        _ => (None, Err(Unanswered::Gone)),
                    }
                }
                Ok(SubAccepted::Conflict) => (None, Err(Unanswered::Conflict)),
                Ok(SubAccepted::Repeat | SubAccepted::Foreign | SubAccepted::Elsewhere) => {
                    (None, Err(Unanswered::Elsewhere))
                }
                Err(EnclaveError::Refused(code)) => {
                    tracing::debug!(code, lane = lane.lane, "not a sub-ticket of this lane");
                    (None, Err(Unanswered::Elsewhere))
                }
                Err(EnclaveError::Gone) => (None, Err(Unanswered::Gone)),
            }
        };
        let asked = self.response.rekey(ask).await;
        match asked.unwrap_or(Err(Unanswered::Gone)) {
            Ok((receipt, request)) => {
                self.request.add(request);
                *self.since.lock() = Some(Instant::now());
                METRICS.rekeyings.add(1, &[]);
                producer.reporter.add_sub(&held.context, ticket.evidence());
                if let Ok(receipt) = SignedSubReceipt::from_bytes(&receipt) {
                    producer.reporter.add_sub(&held.context, receipt.evidence());
                }
                let frame = Bytes::from(held.gate.frame(Direction::Response, &receipt));
                *answered = Some((body, frame.clone()));
                Ok(frame)
            }
            Err(why) => Err(why),
        }
    }
}
