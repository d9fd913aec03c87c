//! What re-keys an accepted call's streams: its consumer asks, and is answered once.

use armour_enclave::{Enclave, EnclaveError, binding::LaneId, ipc::SubAccepted};
use armour_protocol::v2::{
    body::Direction,
    gate::Gate,
    message::{Request, Response},
    proxy::Epoch,
    rekey::{SignedSubReceipt, SignedSubTicket, SubBody, SubEvidence},
};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    sync::{Mutex as AsyncMutex, Notify},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

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
    /// When they were re-keyed last.
    since: Mutex<Option<Instant>>,
    rekeyed: Notify,
    /// Cancelled once one of them has begun.
    begun: CancellationToken,
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
            rekeyed: Notify::new(),
            begun: CancellationToken::new(),
        }
    }

    /// One of its streams has begun.
    pub fn begins(&self) {
        self.begun.cancel();
    }

    /// Waits until one has.
    pub async fn begun(&self) {
        self.begun.cancelled().await;
    }

    /// How often they were re-keyed.
    #[cfg(test)]
    pub async fn count(&self) -> u32 {
        let answered = self.answered.lock().await;
        answered.as_ref().map_or(0, |(last, _)| last.k)
    }

    /// Waits until its consumer, which has re-keyed them, has not for too long. One that never
    /// does is not told to.
    pub async fn overdue(&self, times: RekeyTimes) {
        loop {
            let rekeyed = self.rekeyed.notified();
            let since = *self.since.lock();
            let Some(since) = since else {
                rekeyed.await;
                continue;
            };
            tokio::time::sleep_until(since + times.patience()).await;
            if *self.since.lock() == Some(since) {
                return;
            }
        }
    }

    /// Answers a sub-ticket that passed the gate: one that was answered last, with the same
    /// bytes. What is said is handed to `report`.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn answer(
        &self,
        enclave: &Enclave,
        gate: &Gate,
        lane: LaneId,
        ticket: &SignedSubTicket,
        report: impl Fn(SubEvidence),
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
            let asked = enclave.answer_sub(lane, ticket.to_bytes(), peer);
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
                self.rekeyed.notify_waiters();
                METRICS.rekeyings.add(1, &[]);
                report(ticket.evidence());
                if let Ok(receipt) = SignedSubReceipt::from_bytes(&receipt) {
                    report(receipt.evidence());
                }
                let frame = Bytes::from(gate.frame(Direction::Response, &receipt));
                *answered = Some((body, frame.clone()));
                Ok(frame)
            }
            Err(why) => Err(why),
        }
    }
}
