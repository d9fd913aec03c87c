//! What re-keys an exchange's streams: its consumer asks for it, while they flow.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use armour_enclave::{EnclaveError, binding::LaneId, ipc::SubReceived};
use armour_protocol::v2::{
    body::Direction,
    checkpoint::SignedCheckpoint,
    error::HeadError,
    message::{Request, Response},
    proxy::Epoch,
    rekey::{SignedSubReceipt, SignedSubTicket, SubEvidence},
};
use axum::body::Body;
use bytes::Bytes;
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::Instrument;

use super::{
    bundle::Bundle,
    pair::ConsumerPair,
    transport::{self, BARE_TIMEOUT},
};
use crate::{
    backoff::Backoff,
    foreign_checkpoint::{FOREIGN_CHECKPOINT, ForeignCheckpoint},
    metrics::METRICS,
    rekey_times::RekeyTimes,
    wire::{keyring::Keyring, message::REKEY_PATH, sealing::Sealing, stream::PeerMark},
};

/// An exchange's streams, as far as they are re-keyed.
pub struct Rekeying {
    /// The request.
    pub request: Sealing<Request>,
    /// The keys of the response.
    pub response: Keyring<Response>,
    /// How much has gone either way.
    pub traffic: Traffic,
    /// Cancelled once a sub-ticket was not answered in its time.
    pub late: CancellationToken,
    /// Cancelled once no other is to be signed.
    over: CancellationToken,
    task: Option<AbortOnDropHandle<()>>,
}

/// How much has gone in each direction since the streams were re-keyed.
#[derive(Clone)]
pub struct Traffic(Arc<Counts>);

struct Counts {
    limit: u64,
    request: AtomicU64,
    response: AtomicU64,
    reached: Notify,
}

/// Asks, again and again.
struct Asking {
    consumer: Arc<ConsumerPair>,
    bundle: Arc<Bundle>,
    lane: LaneId,
    times: RekeyTimes,
    /// How far the response has been verified.
    peer: PeerMark,
    request: Sealing<Request>,
    response: Keyring<Response>,
    traffic: Traffic,
    late: CancellationToken,
    over: CancellationToken,
}

/// Why a sub-receipt was not taken.
enum NotTaken {
    /// It is not the one that is awaited.
    Invalid(String),
    /// The stream cannot go on.
    Stop,
}

/// Why nothing more is asked.
enum Stop {
    /// The lane signs nothing more: its bundle has ended.
    Retired,
    /// The stream cannot go on.
    Broken,
}

impl Rekeying {
    /// Of an exchange whose request is this. It is not re-keyed before it is told to be.
    pub fn new(request: Sealing<Request>, bundle: &Bundle) -> Self {
        let times = RekeyTimes::of(&bundle.policy);
        Self {
            request,
            response: Keyring::default(),
            traffic: Traffic::new(times.map_or(u64::MAX, |times| times.bytes)),
            late: CancellationToken::new(),
            over: CancellationToken::new(),
            task: None,
        }
    }

    /// Its streams flow: they are re-keyed from here on, unless the policy says that none are.
    pub fn begin(
        &mut self,
        consumer: &Arc<ConsumerPair>,
        bundle: &Arc<Bundle>,
        lane: LaneId,
        peer: &PeerMark,
    ) {
        let times = match (&self.task, RekeyTimes::of(&bundle.policy)) {
            (None, Some(times)) => times,
            _ => return,
        };
        let asking = Arc::new(Asking {
            consumer: consumer.clone(),
            bundle: bundle.clone(),
            lane,
            times,
            peer: peer.clone(),
            request: self.request.clone(),
            response: self.response.clone(),
            traffic: self.traffic.clone(),
            late: self.late.clone(),
            over: self.over.clone(),
        });
        let task = tokio::spawn(asking.run().in_current_span());
        self.task = Some(AbortOnDropHandle::new(task));
    }

    /// Begins no other, and waits for the one under way. Whether the lane may go on: after a
    /// sub-ticket that is not answered no ticket follows.
    pub async fn settle(&mut self) -> bool {
        self.over.cancel();
        if let Some(task) = self.task.take() {
            let _ = task.await;
        }
        !self.late.is_cancelled()
    }
}

impl Traffic {
    fn new(limit: u64) -> Self {
        Self(Arc::new(Counts {
            limit,
            request: AtomicU64::new(0),
            response: AtomicU64::new(0),
            reached: Notify::new(),
        }))
    }

    /// So much has gone in a direction.
    pub fn count(&self, direction: Direction, bytes: usize) {
        let counter = match direction {
            Direction::Request => &self.0.request,
            Direction::Response => &self.0.response,
        };
        let before = counter.fetch_add(bytes as u64, Ordering::Relaxed);
        if before < self.0.limit && before.saturating_add(bytes as u64) >= self.0.limit {
            self.0.reached.notify_one();
        }
    }

    /// Waits until it is as much as may go under one key.
    async fn reached(&self) {
        loop {
            let reached = self.0.reached.notified();
            let most = [&self.0.request, &self.0.response].map(|one| one.load(Ordering::Relaxed));
            if most.into_iter().max() >= Some(self.0.limit) {
                return;
            }
            reached.await;
        }
    }

    fn start_over(&self) {
        self.0.request.store(0, Ordering::Relaxed);
        self.0.response.store(0, Ordering::Relaxed);
    }
}

impl Asking {
    async fn run(self: Arc<Self>) {
        loop {
            tokio::select! {
                biased;
                () = self.over.cancelled() => return,
                () = self.bundle.dead.cancelled() => return,
                () = tokio::time::sleep(self.times.interval) => {}
                () = self.traffic.reached() => {}
            }
            self.traffic.start_over();
            let asked = Instant::now();
            let rekeyed = tokio::select! {
                rekeyed = timeout(self.times.limit(), self.rekey()) => rekeyed,
                () = self.bundle.dead.cancelled() => return,
            };
            match rekeyed {
                Ok(Ok(())) => {
                    METRICS.rekeyings.add(1, &[]);
                    let took = asked.elapsed();
                    tracing::debug!(lane = self.lane.lane, ?took, "a stream was re-keyed");
                }
                Ok(Err(Stop::Retired)) => return,
                Ok(Err(Stop::Broken)) | Err(_) => return self.late.cancel(),
            }
        }
    }

    /// Re-keys once. The request stands still from the sub-ticket, which says where it goes on
    /// in its next epoch, until its switch.
    async fn rekey(self: &Arc<Self>) -> Result<(), Stop> {
        let ask = async {
            match self.ask().await {
                Ok(request) => (Some(request), Ok(())),
                Err(stop) => (None, Err(stop)),
            }
        };
        self.request.rekey(ask).await.unwrap_or(Err(Stop::Broken))
    }

    /// Signs a sub-ticket, and sends it again and again until its answer is here. The epoch that
    /// the request goes on in.
    async fn ask(self: &Arc<Self>) -> Result<Epoch<Request>, Stop> {
        let asking = self.clone();
        // In a task of its own: what was signed is reported though the exchange should end in
        // this moment.
        let signed = tokio::spawn(async move { asking.sign().await }.in_current_span());
        let head = signed.await.unwrap_or(Err(Stop::Broken))?;
        let frame = Bytes::from(self.bundle.gate.frame(Direction::Request, &head));
        let mut backoff = Backoff::default();
        loop {
            match timeout(BARE_TIMEOUT, self.answer(&frame)).await {
                Ok(Ok(answer)) => {
                    let asking = self.clone();
                    let taken = async move { asking.take(&answer).await };
                    let taken = tokio::spawn(taken.in_current_span()).await;
                    match taken.unwrap_or(Err(NotTaken::Stop)) {
                        Ok(request) => return Ok(request),
                        Err(NotTaken::Invalid(why)) => {
                            tracing::debug!(why, "a sub-receipt is not valid");
                        }
                        Err(NotTaken::Stop) => return Err(Stop::Broken),
                    }
                }
                Ok(Err(why)) => tracing::debug!(why, "a sub-ticket is sent again"),
                Err(_) => tracing::debug!("a sub-ticket is sent again: no answer in time"),
            }
            backoff.wait().await;
        }
    }

    async fn sign(&self) -> Result<Vec<u8>, Stop> {
        let peer = self.peer.get().to_bytes().to_vec();
        let signed = self.consumer.enclave.sub_ticket(self.lane, peer).await;
        let head = signed.map_err(|error| {
            if error.is("retired") {
                return Stop::Retired;
            }
            tracing::warn!(%error, lane = self.lane.lane, "no sub-ticket");
            Stop::Broken
        })?;
        if let Ok(ticket) = SignedSubTicket::from_bytes(&head) {
            self.response.expect(ticket.unverified().body().k);
            self.report(ticket.evidence());
        }
        Ok(head)
    }

    /// The answer's head, once it passed the gate.
    async fn answer(&self, frame: &Bytes) -> Result<Bytes, String> {
        let body = Body::from(frame.clone());
        let posted = transport::post(&self.consumer, &self.bundle, REKEY_PATH, body).await;
        let mut answer = posted.map_err(|unanswered| unanswered.why)?;
        let frame = answer.frame().await.map_err(|error| error.to_string())?;
        let head = self.bundle.gate.check(Direction::Response, &frame);
        let head = head.map_err(|error: HeadError| error.to_string())?;
        Ok(frame.slice_ref(head))
    }

    /// Has the enclave judge an answer. What it takes both directions go on under.
    async fn take(&self, head: &[u8]) -> Result<Epoch<Request>, NotTaken> {
        let received = self.consumer.enclave.sub_receipt(self.lane, head.to_vec());
        let invalid = |why: &str| Err(NotTaken::Invalid(why.to_owned()));
        match received.await {
            Ok(SubReceived::Rekeyed(epochs)) => {
                self.report_receipt(head);
                let request = Epoch::<Request>::from_bytes(&epochs.request);
                let response = Epoch::<Response>::from_bytes(&epochs.response);
                match (request, response) {
                    (Ok(request), Ok(response)) => {
                        let kept = self.response.add(response);
                        kept.map(|()| request).map_err(|_| NotTaken::Stop)
                    }
                    _ => Err(NotTaken::Stop),
                }
            }
            Ok(SubReceived::Repeat) => invalid("it was taken before"),
            Ok(SubReceived::Clone { other, .. }) => {
                tracing::error!(bundle = %self.bundle.id, lane = self.lane.lane,
                    "THE PRODUCER ANSWERED ONE SUB-TICKET TWICE: its state was copied");
                if let Ok(other) = SubEvidence::from_bytes(&other) {
                    self.report(other);
                }
                invalid("another one was taken before")
            }
            Err(error) if error.is(FOREIGN_CHECKPOINT) => {
                // The ledger compares it with what the producer has reported.
                self.report_receipt(head);
                foreign_checkpoint(&self.consumer, &self.bundle, self.lane, None);
                Err(NotTaken::Stop)
            }
            Err(EnclaveError::Refused(code)) => Err(NotTaken::Invalid(code)),
            Err(EnclaveError::Gone) => invalid("the enclave is gone"),
        }
    }

    fn report_receipt(&self, head: &[u8]) {
        if let Ok(receipt) = SignedSubReceipt::from_bytes(head) {
            self.report(receipt.evidence());
        }
    }

    fn report(&self, evidence: SubEvidence) {
        self.consumer
            .reporter
            .add_sub(&self.bundle.context, evidence);
    }
}

/// Somebody signs checkpoints with the producer's key, or says what this end never signed: the
/// bundle ends, and whoever looks after the endpoint hears of it.
pub fn foreign_checkpoint(
    consumer: &ConsumerPair,
    bundle: &Bundle,
    lane: LaneId,
    proof: Option<&SignedCheckpoint>,
) {
    ForeignCheckpoint::of(bundle.id, lane, proof).tell(&consumer.session);
    bundle.kill(false);
}
