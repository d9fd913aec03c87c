//! One exchange: begun, sent, sent again where it was lost, and its response.

use std::{borrow::Cow, future::Future, sync::Arc, time::Duration};

use armour_api::{Problem, ReportVerdict, Reporting};
use armour_enclave::{EnclaveError, ipc::Keyed};
use armour_protocol::ticket::{SIGNED_TICKET_LEN, SignedTicket};
use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, BodyStream, Limited};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_stream::wrappers::ReceiverStream;
use tracing::Instrument;

use super::{
    bundle::Lane,
    delivery::{Answer, Delivery, Incoming},
    pair::ConsumerPair,
};
use crate::{
    backoff::Backoff,
    wire::{
        message::{
            BodySealer, Direction, EXCHANGE_PATH, MessageReader, ReadError, SegmentReader, known,
            pump, seal_empty,
        },
        problem::Refusal,
    },
};

/// Attempts to read on after a response was cut without any progress.
const FUTILE_READS: u32 = 3;

/// What an exchange carries.
pub enum Outgoing {
    /// Nothing: it opens a lane or refreshes it.
    Empty,
    /// A Binary HTTP request, whole.
    Whole(Bytes),
    /// The beginning of one, and the rest of its body.
    Stream(Bytes, BodyStream<Body>),
}

/// An exchange that cannot be concluded.
struct Lost(Refusal);

/// Runs an exchange in a task of its own, so that it is concluded though the
/// caller may leave. The answer comes once the response's head is there.
pub fn start(
    consumer: Arc<ConsumerPair>,
    lane: Lane,
    outgoing: Outgoing,
) -> oneshot::Receiver<Result<Incoming, Refusal>> {
    let (answer, receiver) = oneshot::channel();
    let span = tracing::info_span!(
        "armour.exchange",
        otel.kind = "client",
        armour.bundle = %lane.bundle.id(),
        armour.lane = lane.number,
    );
    let work = async move {
        let dead = lane.bundle.dead.clone();
        let mut answer = Some(answer);
        tokio::select! {
            () = run(&consumer, lane, outgoing, &mut answer) => {}
            () = dead.cancelled() => {}
        }
        if let Some(answer) = answer {
            let _ = answer.send(Err(consumer.outcome_unknown()));
        }
    };
    tokio::spawn(work.instrument(span));
    receiver
}

async fn run(
    consumer: &Arc<ConsumerPair>,
    mut lane: Lane,
    outgoing: Outgoing,
    answer: &mut Answer,
) {
    let content = match &outgoing {
        Outgoing::Whole(content) => known(content),
        Outgoing::Empty | Outgoing::Stream(..) => known(&[]),
    };
    let keyed = match consumer.enclave.begin(lane.id(), content).await {
        Ok(keyed) => keyed,
        Err(error) => {
            tracing::error!(%error, lane = lane.number, "cannot begin an exchange");
            lane.bundle.dead.cancel();
            return;
        }
    };
    let strict = report(consumer, &lane, &keyed);
    let sealed = match outgoing {
        Outgoing::Empty => seal_empty(&consumer.enclave, &keyed, Direction::Request)
            .await
            .map(|wire| (wire, None)),
        Outgoing::Whole(content) => seal_whole(consumer, &keyed, &content)
            .await
            .map(|wire| (wire, None)),
        Outgoing::Stream(start, rest) => {
            // Only if the stream breaks: the first segment's nonce is free in
            // its `last` form, so the same key may seal an empty message too.
            seal_empty(&consumer.enclave, &keyed, Direction::Request)
                .await
                .map(|wire| (wire, Some(stream(consumer, &keyed, &start, rest))))
        }
    };
    let Ok((wire, mut first)) = sealed else {
        lane.bundle.dead.cancel();
        return;
    };
    // Before the exchange counts, the ledger must have it where that is policy.
    if let Some(strict) = strict
        && strict.await.is_none()
    {
        lane.bundle.dead.cancel();
        return;
    }
    let mut exchange = Exchange {
        consumer,
        lane: &lane,
        wire,
        deadline: Instant::now() + consumer.patience(),
    };
    let (received, reader) = match exchange.until_answered(&mut first, answer).await {
        Ok(found) => found,
        Err(Lost(refusal)) => {
            if let Some(answer) = answer.take() {
                let _ = answer.send(Err(refusal));
            }
            return;
        }
    };
    exchange.deliver(received, reader, answer).await;
    lane.fresh = false;
}

/// Reports a begun exchange; under strict reporting returns the wait for
/// the ledger's word.
fn report(
    consumer: &ConsumerPair,
    lane: &Lane,
    keyed: &Keyed,
) -> Option<impl Future<Output = Option<()>> + Send + use<>> {
    let ticket = ticket_of(&keyed.head)?;
    if lane.bundle.grant.policy.reporting == Reporting::Batched {
        consumer.reporter.add(ticket);
        return None;
    }
    let reporter = consumer.reporter.clone();
    Some(async move {
        let verdict = reporter.add_now(ticket).await;
        verdict
            .filter(|verdict| *verdict == ReportVerdict::Accepted)
            .map(drop)
    })
}

/// The signed ticket at the beginning of a request's head.
fn ticket_of(head: &[u8]) -> Option<SignedTicket> {
    SignedTicket::from_bytes(head.get(..SIGNED_TICKET_LEN)?).ok()
}

async fn seal_whole(
    consumer: &ConsumerPair,
    keyed: &Keyed,
    content: &[u8],
) -> Result<Bytes, EnclaveError> {
    let mut sealer = BodySealer::new(&consumer.enclave, keyed, Direction::Request);
    sealer.content().extend_from_slice(content);
    let mut wire = keyed.head.clone();
    wire.reserve(content.len() + 256);
    sealer.finish(&mut wire).await?;
    Ok(wire.into())
}

/// A body that seals the rest of a request as it comes.
fn stream(consumer: &ConsumerPair, keyed: &Keyed, start: &[u8], rest: BodyStream<Body>) -> Body {
    let mut sealer = BodySealer::new(&consumer.enclave, keyed, Direction::Request);
    sealer.content().extend_from_slice(start);
    let (sink, source) = mpsc::channel(2);
    let head = Bytes::copy_from_slice(&keyed.head);
    tokio::spawn(pump(sealer, rest, sink));
    // Where the caller's body breaks, this one merely ends. That looks whole to
    // HTTP; the missing last segment shows the producer that it is not.
    let head = futures::stream::once(std::future::ready(head));
    Body::from_stream(
        head.chain(ReceiverStream::new(source))
            .map(Ok::<_, std::convert::Infallible>),
    )
}

struct Exchange<'a> {
    consumer: &'a Arc<ConsumerPair>,
    lane: &'a Lane,
    /// The message that is sent again and again, byte for byte.
    wire: Bytes,
    deadline: Instant,
}

impl Exchange<'_> {
    /// Sends until a valid response's head is there. When the caller's patience
    /// is over it is told so, and the lane is won back in the background.
    async fn until_answered(
        &mut self,
        first: &mut Option<Body>,
        answer: &mut Answer,
    ) -> Result<(Keyed, MessageReader), Lost> {
        let mut backoff = Backoff::default();
        loop {
            let (body, patience) = match first.take() {
                // However long the upload takes; a dead peer ends it.
                Some(stream) => (stream, Duration::MAX),
                None => (Body::from(self.wire.clone()), RESPONSE_TIMEOUT),
            };
            let why = match self.attempt(body, patience).await {
                Ok(found) => return Ok(found),
                Err(Failed::Final(refusal)) => return Err(Lost(refusal)),
                Err(Failed::Passing(why)) => why,
            };
            tracing::debug!(
                lane = self.lane.number,
                why = &*why,
                "an exchange is sent again"
            );
            if Instant::now() > self.deadline
                && let Some(answer) = answer.take()
            {
                tracing::warn!(why = &*why, "an exchange is not concluded yet");
                self.consumer.session.note(why);
                let _ = answer.send(Err(self.consumer.outcome_unknown()));
            }
            backoff.wait().await;
        }
    }

    async fn attempt(
        &self,
        body: Body,
        patience: Duration,
    ) -> Result<(Keyed, MessageReader), Failed> {
        let mut reader = self.post(body, patience).await?;
        let head = reader
            .response_head()
            .await
            .map_err(|_| Failed::Passing("the response's head is cut or malformed".into()))?;
        match self
            .consumer
            .enclave
            .receive(self.lane.id(), head.to_vec())
            .await
        {
            Ok(keyed) => Ok((keyed, reader)),
            // Damaged or forged: the lane waits on.
            Err(EnclaveError::Refused(code)) if code != "bundle-unknown" => {
                Err(Failed::Passing("the response's head is not valid".into()))
            }
            Err(_) => Err(Failed::Final(self.consumer.outcome_unknown())),
        }
    }

    async fn post(&self, body: Body, patience: Duration) -> Result<MessageReader, Failed> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}{EXCHANGE_PATH}", self.lane.bundle.producer))
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .body(body)
            .map_err(|_| Failed::Final(self.consumer.outcome_unknown()))?;
        let response = tokio::time::timeout(patience, self.consumer.http.request(request))
            .await
            .map_err(|_| Failed::Passing("no response in time".into()))?
            .map_err(|error| {
                let error = anyhow::Error::new(error);
                let why = format!("the producer is out of reach: {error:#}");
                Failed::Passing(why.into())
            })?;
        if response.status() == StatusCode::OK {
            return Ok(MessageReader::new(Body::new(response.into_body())));
        }
        let status = response.status();
        let body = Limited::new(Body::new(response.into_body()), 16 * 1024);
        let problem = body
            .collect()
            .await
            .ok()
            .and_then(|body| serde_json::from_slice::<Problem>(&body.to_bytes()).ok());
        let kind = problem.as_ref().and_then(Problem::kind).unwrap_or("");
        tracing::debug!(%status, kind, lane = self.lane.number, "the producer refuses");
        match kind {
            // The producer holds no such lane: the bundle is of no more use.
            "bundle-unknown" | "bundle-superseded" | "bundle-disconnected" => {
                self.consumer.session.heartbeat_now();
                self.lane.bundle.dead.cancel();
                Err(Failed::Final(self.consumer.outcome_unknown()))
            }
            "ticket-conflict" | "ticket-elsewhere" => {
                self.consumer.session.heartbeat_now();
                Err(Failed::Passing("the producer knows another ticket".into()))
            }
            _ => Err(Failed::Passing("the producer refuses for now".into())),
        }
    }

    /// Hands the response over as it comes. Where the connection breaks, the
    /// same request brings the same response again; what was handed over
    /// already is skipped.
    async fn deliver(&self, keyed: Keyed, reader: MessageReader, answer: &mut Answer) {
        let key = self.lane.bundle.grant.producer_key;
        let mut segments = reader.open(&keyed, Direction::Response, key);
        let mut delivery = Delivery::default();
        let (mut taken, mut futile) = (0u64, 0);
        let mut skip = 0;
        loop {
            match segments.next().await {
                Ok(Some(_)) if skip > 0 => skip -= 1,
                Ok(Some(content)) => {
                    taken += 1;
                    futile = 0;
                    if !delivery.take(&content, answer).await {
                        return;
                    }
                }
                Ok(None) => return delivery.finish(self.consumer, answer),
                Err(error) => {
                    tracing::debug!(%error, lane = self.lane.number, "a response was cut");
                    match self.again(&keyed, &mut futile).await {
                        Some(again) => segments = again,
                        None => return delivery.break_off(self.consumer, answer).await,
                    }
                    skip = taken;
                }
            }
        }
    }

    /// Asks for the same response once more.
    async fn again(&self, keyed: &Keyed, futile: &mut u32) -> Option<SegmentReader> {
        let mut backoff = Backoff::default();
        while *futile < FUTILE_READS {
            *futile += 1;
            backoff.wait().await;
            let Ok(mut reader) = self
                .post(Body::from(self.wire.clone()), RESPONSE_TIMEOUT)
                .await
            else {
                continue;
            };
            match reader.response_head().await {
                Ok(head) if head == keyed.head => {
                    let key = self.lane.bundle.grant.producer_key;
                    return Some(reader.open(keyed, Direction::Response, key));
                }
                Ok(_) | Err(ReadError::Protocol(_)) => return None,
                Err(ReadError::Cut) => {}
            }
        }
        None
    }
}

enum Failed {
    /// Trying again may help.
    Passing(Cow<'static, str>),
    /// It cannot.
    Final(Refusal),
}

/// How long one attempt may take until the response begins. A response that
/// takes longer is met again by the next attempt.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(90);
