//! What re-keys an accepted call's streams: its consumer asks, and is answered once.

use std::sync::atomic::{AtomicU64, Ordering};

use armour_enclave::{Enclave, EnclaveError, binding::LaneId, ipc::SubAccepted};
use armour_protocol::v2::{
    body::Direction,
    checkpoint::SignedCheckpoint,
    gate::Gate,
    message::{Request, Response},
    proxy::Epoch,
    rekey::{SignedSubReceipt, SignedSubTicket, SubBody, SubEvidence},
};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{sync::Mutex as AsyncMutex, time::Instant};
use tokio_util::sync::CancellationToken;

use super::rekey_rate::RekeyRate;
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
    answered: AsyncMutex<Answered>,
    /// When they were re-keyed last, or have begun.
    since: Mutex<Option<Instant>>,
    /// Bytes that have gone in both directions.
    bytes: AtomicU64,
    /// Cancelled once one of them has begun.
    begun: CancellationToken,
    foreign: Mutex<Option<SignedCheckpoint>>,
    /// Cancelled once a checkpoint was found that its consumer did not sign.
    alarmed: CancellationToken,
}

#[derive(Default)]
struct Answered {
    /// The last sub-ticket, and its answer's frame.
    last: Option<(SubBody, Bytes)>,
    rate: Option<RekeyRate>,
}

/// Why a sub-ticket is not answered.
pub enum Unanswered {
    /// Another one took its place: the consumer was copied.
    Conflict,
    /// It does not follow here.
    Elsewhere,
    /// It is nobody's.
    Invalid,
    /// It says what this end has seen otherwise.
    ForeignCheckpoint,
    /// It comes too early: the same one may come again.
    TooSoon,
    /// The bundle, its streams or the enclave are gone.
    Gone,
}

impl Default for Rekeying {
    /// Of an exchange whose streams have not begun.
    fn default() -> Self {
        Self {
            response: Sealing::later(),
            request: Keyring::default(),
            peer: PeerMark::default(),
            answered: AsyncMutex::default(),
            since: Mutex::new(None),
            bytes: AtomicU64::new(0),
            begun: CancellationToken::new(),
            foreign: Mutex::new(None),
            alarmed: CancellationToken::new(),
        }
    }
}

impl Rekeying {
    /// One of its streams has begun.
    pub fn begins(&self) {
        self.since.lock().get_or_insert_with(Instant::now);
        self.begun.cancel();
    }

    /// Waits until one has.
    pub async fn begun(&self) {
        self.begun.cancelled().await;
    }

    /// So much has gone in one direction.
    pub fn count(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The request holds a checkpoint that its consumer did not sign, by its key.
    pub fn foreign(&self, proof: Option<&SignedCheckpoint>) {
        *self.foreign.lock() = proof.cloned();
        self.alarmed.cancel();
    }

    /// Waits until such a checkpoint was found.
    pub async fn alarmed(&self) {
        self.alarmed.cancelled().await;
    }

    /// Whether one was.
    pub fn is_alarmed(&self) -> bool {
        self.alarmed.is_cancelled()
    }

    /// The checkpoint, if it is at hand.
    pub fn proof(&self) -> Option<SignedCheckpoint> {
        self.foreign.lock().clone()
    }

    /// How often they were re-keyed.
    #[cfg(test)]
    pub async fn times(&self) -> u32 {
        let answered = self.answered.lock().await;
        answered.last.as_ref().map_or(0, |(last, _)| last.k)
    }

    /// Waits until its consumer has not re-keyed them for too long. Never, where the policy does
    /// not have it do so.
    pub async fn overdue(&self, times: Option<RekeyTimes>) {
        let Some(times) = times else {
            return std::future::pending().await;
        };
        self.begun().await;
        loop {
            let since = self.since.lock().unwrap_or_else(Instant::now);
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
        (enclave, gate): (&Enclave, &Gate),
        lane: LaneId,
        ticket: &SignedSubTicket,
        times: RekeyTimes,
        report: impl Fn(SubEvidence),
    ) -> Result<Bytes, Unanswered> {
        let body = ticket.unverified().body();
        // One at a time, in whatever connections they come.
        let mut answered = self.answered.lock().await;
        match &answered.last {
            Some((last, frame)) if *last == body => return Ok(frame.clone()),
            Some((last, _)) if body.k < last.k => return Err(Unanswered::Elsewhere),
            _ => {}
        }
        if self.request.is_full() {
            return Err(Unanswered::Gone);
        }
        let mut rate = answered.rate.unwrap_or_else(|| RekeyRate::new(times));
        let next = answered
            .last
            .as_ref()
            .is_none_or(|(last, _)| body.k > last.k);
        if next && !rate.take(times, self.bytes.load(Ordering::Relaxed)) {
            return Err(Unanswered::TooSoon);
        }
        let peer = self.peer.get().to_bytes().to_vec();
        let ask = async {
            let asked = enclave.answer_sub(lane, ticket.to_bytes(), peer);
            match asked.await {
                Ok(SubAccepted::Answered { receipt, epochs }) => {
                    let request = Epoch::<Request>::from_bytes(&epochs.request);
                    let response = Epoch::<Response>::from_bytes(&epochs.response);
                    match (request, response) {
                        (Ok(request), Ok(response)) => match self.request.add(request) {
                            Ok(()) => (Some(response), Ok(receipt)),
                            Err(_) => (None, Err(Unanswered::Gone)),
                        },
                        _ => (None, Err(Unanswered::Gone)),
                    }
                }
                Ok(SubAccepted::Conflict) => (None, Err(Unanswered::Conflict)),
                Ok(SubAccepted::ForeignCheckpoint) => (None, Err(Unanswered::ForeignCheckpoint)),
                Ok(SubAccepted::Repeat | SubAccepted::Foreign | SubAccepted::Elsewhere) => {
                    (None, Err(Unanswered::Elsewhere))
                }
                // Its response has not shown yet that it is in the epoch before.
                Err(EnclaveError::Refused(code)) if code == "checkpoint" => {
                    (None, Err(Unanswered::TooSoon))
                }
                Err(EnclaveError::Refused(code)) => {
                    tracing::debug!(code, lane = lane.lane, "not a sub-ticket of this lane");
                    (None, Err(Unanswered::Invalid))
                }
                Err(EnclaveError::Gone) => (None, Err(Unanswered::Gone)),
            }
        };
        let asked = self.response.rekey(ask).await;
        let receipt = asked.unwrap_or(Err(Unanswered::Gone))?;
        // What does not follow takes nothing from what does.
        answered.rate = Some(rate);
        *self.since.lock() = Some(Instant::now());
        METRICS.rekeyings.add(1, &[]);
        report(ticket.evidence());
        if let Ok(receipt) = SignedSubReceipt::from_bytes(&receipt) {
            report(receipt.evidence());
        }
        let frame = Bytes::from(gate.frame(Direction::Response, &receipt));
        answered.last = Some((body, frame.clone()));
        Ok(frame)
    }
}
