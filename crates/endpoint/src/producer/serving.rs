//! What becomes of an accepted call: it is begun in its time or never, and once; and its
//! answer is sealed into the lane's log.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use armour_enclave::binding::LaneId;
use armour_protocol::v2::{
    body::Direction,
    checkpoint::SignedCheckpoint,
    error::ContentError,
    message::{Request, Response as Answering, SignedReceipt},
    mode::Reason,
    proxy::{
        Arrived, Begun, Conclusion, FirstContent, MAX_PIECE, Outgoing, Refused, Undecided,
        WholeContent,
    },
    time::ProducerTime,
};
use armour_telemetry::trace;
use axum::body::Body;
use bytes::Bytes;
use http::Response;
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument;

use super::{
    bundles::Held,
    endpoint::ProducerEndpoint,
    exchange::{Arrival, Exchange},
    handshake::Upgraded,
    rekeying::Rekeying,
    request::{self, Opened, RequestEnd},
    upstream::Connected,
};
use crate::{
    control_plane::lease,
    metrics::{CutReason, METRICS},
    rekey_times::RekeyTimes,
    wire::{
        bhttp,
        body::{Ahead, Piece, Rest, ahead, pump},
        content::Content,
        message::MessageReader,
        problem::refuse,
        problem_type::ProblemType,
        stream::{Broken, StreamSender},
        websocket,
    },
};

/// How long a response may take to be complete so that it is sent whole.
const WHOLE_WITHIN: Duration = Duration::from_millis(10);

/// Whether the ledger has the ticket, where that is policy.
pub enum Recorded {
    /// It has, or need not.
    Yes,
    /// It cannot be asked.
    No,
    /// It has been asked.
    Asked(Pin<Box<dyn Future<Output = bool> + Send>>),
}

/// An accepted call.
pub struct Call {
    pub producer: Arc<ProducerEndpoint>,
    pub held: Arc<Held>,
    pub exchange: Arc<Exchange>,
    pub lane: LaneId,
    pub begin_by: ProducerTime,
}

impl Call {
    /// Serves it: refuses it, or begins it and seals its answer.
    pub async fn serve(self, recorded: Recorded, arrival: oneshot::Receiver<Arrival>) {
        let _ended = self.exchange.ended.clone().drop_guard();
        let (given_up, log) = (&self.exchange.given_up, &self.exchange.log);
        // The API's call ends by that its request and its response are dropped.
        let answered = tokio::select! {
            answered = self.answered(recorded, arrival) => answered,
            () = given_up.cancelled() => Err(Broken),
            () = log.is_deserted() => Err(Broken),
        };
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
            Ok((connected, request, rest)) => match request.begin(self.producer.clock.now()) {
                Err(refused) => self.refused(refused).await,
                Ok((begun, request)) => self.run(connected, begun, request, rest).await,
            },
        }
    }

    /// All that must hold before the call begins: the ledger has its ticket, its content
    /// has been verified, and the API can be reached; all within its time.
    async fn decide(
        &self,
        recorded: Recorded,
        mut arrival: oneshot::Receiver<Arrival>,
    ) -> Result<(Connected, Undecided, MessageReader), Option<Refused>> {
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
        let upstream = self.producer.upstream();
        let connected = tokio::select! {
            connected = upstream.connect() => connected,
            () = &mut late => return Err(Some(request.refuse(Reason::LATE))),
        };
        match connected {
            Ok(connected) => Ok((connected, request, rest)),
            Err(error) => {
                let error = format!("the upstream is out of reach: {error:#}");
                tracing::warn!("{error}");
                self.producer.session.note(error);
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
        let Opened { request, sent, end } = request::open(request, rest, rekeying);
        let Some(request) = request else {
            let refusal = refuse(ProblemType::BinaryHttp, "malformed request");
            return self.answer(begun, refusal, end).await;
        };
        if end.is_some() {
            rekeying.begins();
        }
        let span = tracing::info_span!(
            "armour.serve",
            otel.kind = "server",
            http.request.method = %request.method(),
            armour.bundle = %self.held.id,
            armour.lane = self.lane.lane,
        );
        trace::adopt(&span, request.headers());
        let begin_by = self.producer.clock.begin_by(self.begin_by);
        let (session, retry) = (&self.producer.session, self.held.policy.retry);
        let served = connected.serve(session, request, sent, begin_by, retry);
        let served = tokio::select! {
            served = served.instrument(span) => served,
            reason = self.cut(), if end.is_some() => Err(reason),
        };
        match served {
            Ok(response) => {
                let answered = self.answer(begun, response, end);
                tokio::select! {
                    answered = answered => answered,
                    // Its receipt is given: that it has no end is all that its consumer hears.
                    _ = self.cut() => Err(Broken),
                }
            }
            Err(reason) => {
                drop(end);
                self.bare(begun.abort(reason)).await
            }
        }
    }

    /// Waits until its streams must end: they were not re-keyed in their time, or nobody knows
    /// any more whether their bundle is still good.
    async fn cut(&self) -> Reason {
        let Self { producer, held, .. } = self;
        let overdue = self.exchange.rekeying.overdue(RekeyTimes::of(&held.policy));
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

    async fn answer(
        &self,
        begun: Begun,
        response: Response<Body>,
        end: Option<RequestEnd>,
    ) -> Result<(), Broken> {
        if let Some(end) = &end {
            end.answer_begins();
        }
        let (mut parts, body) = response.into_parts();
        let is_handshake = parts.extensions.get::<Upgraded>().is_some();
        bhttp::strip_hop_by_hop(&mut parts.headers);
        if is_handshake {
            websocket::carry_in(&mut parts.headers);
        }
        let mut content = Content::default();
        bhttp::put_response(&parts, &mut content);
        match ahead(body, content, Some(WHOLE_WITHIN)).await {
            Ahead::Broken => self.bare(begun.abort(Reason::API)).await,
            Ahead::Whole(content) => self.whole(begun, &content, end).await,
            Ahead::More(content, rest) => self.stream(begun, content, rest, end).await,
        }
    }

    async fn whole(
        &self,
        begun: Begun,
        content: &Content,
        end: Option<RequestEnd>,
    ) -> Result<(), Broken> {
        let (kind, padding) = self.held.form.of_whole(content.len());
        let whole = WholeContent::new(content.as_slice(), kind, padding).map_err(cannot)?;
        let (mut out, outgoing) = self.conclude(begun.answer(whole.claim())).await?;
        whole
            .seal(outgoing.ok_or(Broken)?, &mut out)
            .map_err(cannot)?;
        self.exchange.log.head(out.into());
        self.exchange.log.finish();
        match end {
            None => Ok(()),
            Some(end) => self.finish(Some(end.after_the_answer().await?)).await,
        }
    }

    async fn stream(
        &self,
        begun: Begun,
        mut content: Content,
        rest: Rest,
        mut end: Option<RequestEnd>,
    ) -> Result<(), Broken> {
        let first = content.split_to(MAX_PIECE);
        let (kind, padding) = self.held.form.of_stream();
        let first = FirstContent::new(first.as_slice(), kind, padding).map_err(cannot)?;
        let (mut out, outgoing) = self.conclude(begun.answer(first.claim())).await?;
        let writer = first
            .seal(outgoing.ok_or(Broken)?, &mut out)
            .map_err(cannot)?;
        let log = &self.exchange.log;
        log.head(out.into());
        let Rekeying { response, peer, .. } = &self.exchange.rekeying;
        let enclave = self.producer.enclave.clone();
        let sender = StreamSender::new(writer, enclave, self.lane, peer.clone(), content);
        response.begin(sender).await?;
        self.exchange.rekeying.begins();
        let (sink, mut source) = mpsc::channel::<Piece>(2);
        let forward = async {
            while let Some(piece) = source.recv().await {
                if !log.push(piece.bytes).await {
                    break;
                }
            }
            source.close();
        };
        let pumped = async move { pump(response, rest, &sink).await };
        let (last, ()) = tokio::join!(pumped, forward);
        let last: Bytes = last?;
        // The lane's next ticket may come as soon as the last bytes are sent.
        let ended = match &mut end {
            None => Some(None),
            Some(end) => end.try_get().map(Some),
        };
        let finished = ended.is_some();
        if let Some(ended) = ended {
            self.finish(ended).await?;
        }
        log.push(last).await;
        log.finish();
        match end.filter(|_| !finished) {
            None => Ok(()),
            Some(end) => self.finish(Some(end.after_the_answer().await?)).await,
        }
    }

    async fn refused(&self, refused: Refused) -> Result<(), Broken> {
        let (reason, lane) = (refused.reason().as_u8(), self.lane.lane);
        tracing::debug!(reason, lane, "a call is refused");
        self.bare(refused.conclude()).await
    }

    /// A receipt without content. It ends both directions.
    async fn bare(&self, conclusion: Conclusion) -> Result<(), Broken> {
        let (out, _) = self.conclude(conclusion).await?;
        self.exchange.log.head(out.into());
        self.exchange.log.finish();
        Ok(())
    }

    /// Has the call's one receipt made. Its frame, and what seals the content that goes
    /// with it.
    async fn conclude(
        &self,
        conclusion: Conclusion,
    ) -> Result<(Vec<u8>, Option<Outgoing<Answering>>), Broken> {
        let (producer, held, lane) = (self.producer.clone(), self.held.clone(), self.lane);
        // In a task of its own: a receipt that was signed is reported though the call should
        // be given up meanwhile.
        let concluded = tokio::spawn(async move {
            let conclusion = conclusion.to_bytes();
            let concluded = producer.enclave.conclude(lane, conclusion).await;
            // The bundle may have been erased meanwhile: nobody may learn the response.
            let concluded = concluded.map_err(|error| {
                tracing::warn!(%error, lane = lane.lane, "a call cannot be concluded");
                Broken
            })?;
            if let Ok(receipt) = SignedReceipt::from_bytes(&concluded.head) {
                producer.reporter.add(&held.context, receipt.evidence());
            }
            Ok(concluded)
        });
        let concluded = concluded.await.map_err(|_| Broken)??;
        let outgoing = concluded.outgoing.as_deref();
        let outgoing = outgoing.map(|bytes| Outgoing::from_bytes(bytes));
        let frame = self.held.gate.frame(Direction::Response, &concluded.head);
        Ok((frame, outgoing.transpose().map_err(|_| Broken)?))
    }

    /// Both directions have ended; the lane may take its next ticket.
    async fn finish(&self, last: Option<SignedCheckpoint>) -> Result<(), Broken> {
        let last = last.map(|last| last.to_bytes());
        let finished = self.producer.enclave.finish(self.lane, last).await;
        finished.map_err(|error| {
            tracing::warn!(%error, lane = self.lane.lane, "a stream is not final");
            Broken
        })
    }
}

fn cannot(error: ContentError) -> Broken {
    tracing::error!(%error, "a response cannot be sealed");
    Broken
}
