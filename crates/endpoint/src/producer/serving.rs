//! What becomes of an accepted call: it is begun in its time or never, and once; and its
//! answer is sealed into the lane's log.

use std::{future::Future, pin::Pin};

use armour_protocol::v2::{
    message::Request,
    mode::Reason,
    proxy::{Arrived, Begun, Refused, Undecided},
};
use armour_telemetry::trace;
use axum::response::IntoResponse as _;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{
    answer::Answering,
    call::Call,
    exchange::Arrival,
    rekey_handler::foreign_checkpoint,
    request::{self, Opened},
    upstream::{Connected, Terms},
};
use crate::{
    consumer::fate::Failure,
    control_plane::lease,
    metrics::{CutReason, METRICS},
    rekey_times::RekeyTimes,
    wire::{
        interims, message::MessageReader, problem::Refusal, problem_type::ProblemType,
        stream::Broken,
    },
};

/// Whether the ledger has the ticket, where that is policy.
pub enum Recorded {
    /// It has, or need not.
    Yes,
    /// It cannot be asked.
    No,
    /// It has been asked.
    Asked(Pin<Box<dyn Future<Output = bool> + Send>>),
}

/// A call that can begin.
struct Decided {
    connected: Connected,
    request: Undecided,
    rest: MessageReader,
    /// Its place among those that the upstream takes at once, until its answer has ended.
    place: Option<OwnedSemaphorePermit>,
}

impl Call {
    /// Serves it: refuses it, or begins it and seals its answer.
    pub async fn serve(self, recorded: Recorded, arrival: oneshot::Receiver<Arrival>) {
        let _ended = self.exchange.ended.clone().drop_guard();
        let (given_up, log) = (&self.exchange.given_up, &self.exchange.log);
        let rekeying = &self.exchange.rekeying;
        // The API's call ends by that its request and its response are dropped.
        let answered = tokio::select! {
            answered = self.answered(recorded, arrival) => answered,
            () = given_up.cancelled() => Err(Broken),
            () = log.is_deserted() => Err(Broken),
            () = rekeying.alarmed() => Err(Broken),
        };
        if rekeying.is_alarmed() {
            let (producer, lane, proof) = (&self.producer, self.lane.lane, rekeying.proof());
            foreign_checkpoint(producer, &self.held, lane, proof.as_ref()).await;
        }
        if answered.is_err() {
            log.abort();
            // Its consumer gives it up, too, and opens another.
            let _ = self.producer.enclave.give_up(self.lane).await;
            self.held.lanes.lock().closed(self.lane.lane);
            self.producer.reporter.give_up(self.lane);
        }
    }

    async fn answered(
        &self,
        recorded: Recorded,
        arrival: oneshot::Receiver<Arrival>,
    ) -> Result<(), Broken> {
        match self.decide(recorded, arrival).await {
            Err(None) => Err(Broken),
            Err(Some(refused)) => self.refused(refused).await,
            Ok(Decided {
                connected,
                request,
                rest,
                place,
            }) => match request.begin(self.producer.clock.now()) {
                Err(refused) => self.refused(refused).await,
                Ok((begun, request)) => {
                    let _place = place;
                    self.run(connected, begun, request, rest).await
                }
            },
        }
    }

    /// All that must hold before the call begins: the ledger has its ticket, its content
    /// has been verified, and the API can be reached; all within its time.
    async fn decide(
        &self,
        recorded: Recorded,
        mut arrival: oneshot::Receiver<Arrival>,
    ) -> Result<Decided, Option<Refused>> {
        let late = self.producer.clock.past(self.begin_by);
        tokio::pin!(late);
        let recorded = match recorded {
            Recorded::Yes => true,
            Recorded::No => false,
            Recorded::Asked(verdict) => tokio::select! {
                recorded = verdict => recorded,
                () = &mut late => false,
            },
        };
        if !recorded {
            return Err(self.refuse(Reason::LEDGER, arrival));
        }
        let arrived = tokio::select! {
            biased;
            arrived = &mut arrival => arrived.ok(),
            () = &mut late => None,
        };
        let Some(Arrival { request, rest }) = arrived else {
            return Err(self.refuse(Reason::LATE, arrival));
        };
        if self.producer.closed.is_cancelled() {
            return Err(Some(request.refuse(Reason::STOPPING)));
        }
        let place = match &self.producer.places {
            None => None,
            Some(places) => match places.clone().try_acquire_owned() {
                Ok(place) => Some(place),
                // Others may have places, and it has not begun: its consumer goes there.
                Err(_) => return Err(Some(request.refuse(Reason::BUSY))),
            },
        };
        let upstream = self.producer.upstream();
        let connected = tokio::select! {
            connected = upstream.connect() => connected,
            () = &mut late => return Err(Some(request.refuse(Reason::LATE))),
        };
        match connected {
            Ok(connected) => Ok(Decided {
                connected,
                request,
                rest,
                place,
            }),
            Err(error) => {
                let error = format!("the upstream is out of reach: {error:#}");
                tracing::warn!("{error}");
                self.producer.session.note(error);
                self.producer.check_due.notify_one();
                Err(Some(request.refuse(Reason::API)))
            }
        }
    }

    /// Decides that the call never begins, whether its content has come or not.
    fn refuse(&self, reason: Reason, mut arrival: oneshot::Receiver<Arrival>) -> Option<Refused> {
        // What has come was put there under the lock that this takes.
        let awaited = self.exchange.refuse(reason);
        awaited.or_else(|| Some(arrival.try_recv().ok()?.request.refuse(reason)))
    }

    /// Calls the API and seals its answer.
    async fn run(
        &self,
        connected: Connected,
        begun: Begun,
        request: Arrived<Request>,
        rest: MessageReader,
    ) -> Result<(), Broken> {
        let notice = self.held.gate.begun(&self.exchange.ticket);
        self.exchange.log.begun(notice.into());
        let rekeying = &self.exchange.rekeying;
        let Opened { request, turn, end } = request::open(request, rest, rekeying);
        let is_stream = end.is_some();
        let answering = Answering::new(self, begun, end);
        if is_stream {
            rekeying.begins();
        }
        let Some(request) = request else {
            let refusal = Refusal::new(ProblemType::BinaryHttp, "malformed request");
            self.record.refused(&refusal);
            return answering.answer(Ok(refusal.into_response())).await;
        };
        let span = tracing::info_span!(
            "armour.serve",
            otel.kind = "server",
            http.request.method = %request.method(),
            armour.bundle = %self.held.id,
            armour.lane = self.lane.lane,
        );
        trace::adopt(&span, request.headers());
        self.record.asked(&request, &span);
        self.record.sent();
        let request = self.record.request(request);
        let begin_by = self.producer.clock.begin_by(self.begin_by);
        let (interims, arriving) = interims::channel();
        let terms = Terms {
            turn,
            begin_by,
            retry: self.held.policy.retry,
            interims,
        };
        let served = connected.serve(&self.producer.session, request, terms);
        // Before the API has answered, its consumer is told why its stream is ended.
        let has_answered = CancellationToken::new();
        let served = async {
            let served = tokio::select! {
                served = served.instrument(span) => served,
                reason = self.cut(), if is_stream => return self.record.outcome(Err(reason)),
            };
            has_answered.cancel();
            self.record.outcome(served)
        };
        let cut = async {
            has_answered.cancelled().await;
            rekeying.begun().await;
            self.cut().await
        };
        tokio::select! {
            answered = answering.until_answered(served, arriving) => answered,
            // Its receipt is given: that it has no end is all that its consumer hears.
            _ = cut => Err(Broken),
        }
    }

    /// Waits until its streams must end: they were not re-keyed in their time, or nobody knows
    /// any more whether their bundle is still good.
    async fn cut(&self) -> Reason {
        let Self { producer, held, .. } = self;
        let times = RekeyTimes::of(&held.policy);
        let overdue = self.exchange.rekeying.overdue(times);
        let lease = lease::over(&producer.session, &producer.reporter, held.lease());
        let (cut, reason) = tokio::select! {
            () = overdue => (CutReason::Rekey, Reason::REKEY),
            () = lease => (CutReason::Lease, Reason::LEASE),
        };
        let why: &'static str = cut.into();
        tracing::warn!(
            lane = self.lane.lane,
            why,
            "a stream is ended before its end"
        );
        METRICS.stream_cut(cut);
        reason
    }

    async fn refused(&self, refused: Refused) -> Result<(), Broken> {
        let told = Failure::refused(refused.reason());
        self.record.refused(&told.refusal);
        let (reason, lane) = (refused.reason().as_u8(), self.lane.lane);
        tracing::debug!(reason, lane, "a call is refused");
        self.bare(refused.conclude()).await
    }
}
