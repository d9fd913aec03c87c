//! One call's exchange: begun, sent, and its answer taken.

use std::sync::Arc;

use armour_enclave::{clock, ipc::Received};
use armour_protocol::v2::{
    body::{self, Direction},
    content::ContentClaim,
    error::ContentError,
    message::{Request, SignedTicket},
    mode::Reason,
    proxy::{FirstContent, Incoming, MAX_PIECE, Outgoing as Keys, WholeContent},
    retry::Fate,
};
use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::{
    bundle::Lane,
    delivery,
    fate::Failure,
    given_up::GivenUp,
    in_flight::{Caller, Exchange, Outcome, Terms, tell},
    pair::ConsumerPair,
    standing::Phase,
    transport::{Answer, Begun},
};
use crate::wire::{
    body::{Piece, Rest, pump},
    content::Content,
    sealing::Sealing,
    stream::{Broken, StreamSender},
};

/// What an exchange carries.
pub enum Outgoing {
    /// A Binary HTTP request, whole.
    Whole(Arc<Content>),
    /// The beginning of one, and the rest of its body.
    Stream(Content, Rest),
}

/// Runs an exchange in a task of its own, so that it is concluded though the caller may
/// leave. The outcome comes once the response's head is there, or at the deadline.
pub fn start(
    consumer: Arc<ConsumerPair>,
    lane: Lane,
    outgoing: Outgoing,
    terms: Terms,
) -> oneshot::Receiver<Outcome> {
    let (caller, receiver) = oneshot::channel();
    let span = tracing::info_span!(
        "armour.exchange",
        otel.kind = "client",
        armour.bundle = %lane.bundle.id,
        armour.lane = lane.number,
    );
    let work = async move {
        let mut caller = Some(caller);
        let begun = begun(consumer, lane, outgoing, terms).await;
        if let Ok((exchange, first)) = begun {
            run(exchange, first, &mut caller).await;
        }
        // Nothing of it was signed, by no fault of the producer's.
        let unsent = Failure::unanswered(Fate::NotSent).by_nobody();
        tell(&mut caller, Err(unsent));
    };
    tokio::spawn(work.instrument(span));
    receiver
}

/// An exchange that is begun, and what is sent first.
async fn begun(
    consumer: Arc<ConsumerPair>,
    mut lane: Lane,
    outgoing: Outgoing,
    terms: Terms,
) -> Result<(Exchange, Option<Body>), Broken> {
    lane.used();
    match outgoing {
        Outgoing::Whole(content) => whole(consumer, lane, &content, terms).await,
        Outgoing::Stream(content, rest) => {
            lane.streams();
            stream(consumer, lane, (content, rest), terms).await
        }
    }
}

async fn run(mut exchange: Exchange, mut first: Option<Body>, caller: &mut Caller) {
    let answered = exchange.until_answered(&mut first, caller).await;
    drop(first);
    match answered {
        Ok((received, answer)) => {
            exchange.lane.is_seen();
            take(exchange, received, answer, caller).await;
        }
        Err(GivenUp(permit)) => {
            tell(caller, Err(exchange.unanswered().await.with(permit)));
            exchange.end();
        }
    }
}

async fn whole(
    consumer: Arc<ConsumerPair>,
    mut lane: Lane,
    content: &Content,
    terms: Terms,
) -> Result<(Exchange, Option<Body>), Broken> {
    let (kind, padding) = lane.bundle.form.of_whole(content.len());
    let whole = WholeContent::new(content.as_slice(), kind, padding).map_err(cannot)?;
    let (ticket, frame, keys) = begin(&consumer, &mut lane, whole.claim(), terms.deadline).await?;
    let mut out = Vec::with_capacity(frame.len() + content.len() + 256);
    out.extend_from_slice(&frame);
    whole.seal(keys, &mut out).map_err(cannot)?;
    terms.record.ticket(ticket.header.n);
    let begun = Begun::new(ticket, terms.begun.clone());
    let sealing = Sealing::none();
    let exchange = Exchange::new(consumer, lane, begun, out.into(), sealing, terms);
    Ok((exchange, None))
}

async fn stream(
    consumer: Arc<ConsumerPair>,
    mut lane: Lane,
    (mut content, rest): (Content, Rest),
    terms: Terms,
) -> Result<(Exchange, Option<Body>), Broken> {
    let first = content.split_to(MAX_PIECE);
    let (kind, padding) = lane.bundle.form.of_stream();
    let first = FirstContent::new(first.as_slice(), kind, padding).map_err(cannot)?;
    let (ticket, frame, keys) = begin(&consumer, &mut lane, first.claim(), terms.deadline).await?;
    let mut out = frame.to_vec();
    let writer = first.seal(keys, &mut out).map_err(cannot)?;
    terms.record.ticket(ticket.header.n);
    let begun = Begun::new(ticket, terms.begun.clone());
    let request = begun.request.clone();
    let sealing = Sealing::later();
    let mut exchange = Exchange::new(consumer, lane, begun, frame, sealing.clone(), terms);
    let (enclave, lane) = (exchange.consumer.enclave.clone(), exchange.lane.id());
    let sender = StreamSender::new(writer, enclave, lane, exchange.peer.clone(), content);
    sealing.begin(|_| Ok(Some(sender))).await?;
    let (sink, source) = mpsc::channel(2);
    let upload = tokio::spawn(async move {
        let bytes = pump(&sealing, rest, h2::Reason::CANCEL, &sink).await?;
        let has_content = true;
        let last = Piece { bytes, has_content };
        sink.send(last).await.map_err(|_| Broken)
    });
    exchange.upload = Some(AbortOnDropHandle::new(upload));
    exchange.streams();
    let traffic = exchange.rekeying.traffic.clone();
    traffic.count(Direction::Request, out.len());
    // Where the caller's body breaks, this one merely ends. That looks whole to HTTP; the
    // missing last checkpoint shows the producer that it is not.
    let head = futures::stream::once(std::future::ready(Bytes::from(out)));
    let source = ReceiverStream::new(source).map(move |piece: Piece| {
        if piece.has_content {
            request.touch();
        }
        traffic.count(Direction::Request, piece.bytes.len());
        piece.bytes
    });
    let body = head.chain(source);
    let body = Body::from_stream(body.map(Ok::<_, std::convert::Infallible>));
    Ok((exchange, Some(body)))
}

/// Has the ticket signed, and reports it.
async fn begin(
    consumer: &ConsumerPair,
    lane: &mut Lane,
    claim: ContentClaim,
    deadline: Instant,
) -> Result<(body::Body, Bytes, Keys<Request>), Broken> {
    let bundle = &lane.bundle;
    if bundle.dead.is_cancelled() {
        return Err(Broken);
    }
    // What is not begun by then never is: nothing runs after its caller was told.
    let left = deadline.saturating_duration_since(Instant::now());
    let left = u32::try_from(left.as_millis()).unwrap_or(u32::MAX);
    let budget = bundle.policy.begin_within_ms.min(left);
    // By the enclave's clock, before the call waits for the enclave.
    let by_ms = clock::boot_ms().saturating_add(budget.into());
    let begun = consumer
        .enclave
        .begin(lane.id(), claim.to_bytes().to_vec(), by_ms)
        .await;
    let begun = begun.map_err(|error| {
        // It may have died meanwhile.
        if !error.is("retired") {
            tracing::error!(%error, lane = lane.number, "cannot begin an exchange");
        }
        bundle.kill(false);
        Broken
    })?;
    let ticket = SignedTicket::from_bytes(&begun.head).map_err(|_| Broken)?;
    consumer.reporter.add(&bundle.context, ticket.evidence());
    let frame = Bytes::from(bundle.gate.frame(Direction::Request, &begun.head));
    let keys = Keys::from_bytes(&begun.outgoing).map_err(|_| Broken)?;
    lane.under_way(Some(frame.clone()));
    Ok((ticket.unverified().body(), frame, keys))
}

/// Takes an answer whose head the enclave has verified.
async fn take(mut exchange: Exchange, received: Received, answer: Answer, caller: &mut Caller) {
    let reason = |reason| Reason::from_u8(reason).unwrap_or(Reason::CONTENT);
    match received {
        Received::Refused { reason: why } => {
            // Neither direction goes on.
            exchange.upload = None;
            exchange.lane.is_free();
            if reason(why) == Reason::STOPPING {
                exchange.bundle().producer_leaves(Phase::Stopped);
            }
            let lane = exchange.lane;
            drop(lane);
            tell(caller, Err(Failure::refused(reason(why))));
        }
        Received::Aborted { reason: why } => {
            exchange.upload = None;
            exchange.lane.is_free();
            drop(exchange.lane);
            tell(caller, Err(Failure::aborted(reason(why))));
        }
        Received::Content(keys) => match Incoming::from_bytes(&keys) {
            Ok(incoming) => {
                drop(keys);
                delivery::deliver(exchange, incoming, answer, caller).await;
            }
            Err(_) => tell(caller, Err(Failure::unanswered(Fate::Unknown))),
        },
        // Nothing that answers a call.
        _ => tell(caller, Err(Failure::unanswered(Fate::Unknown))),
    }
}

fn cannot(error: ContentError) -> Broken {
    tracing::error!(%error, "a request cannot be sealed");
    Broken
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use armour_api::Policy;
    use armour_protocol::v2::retry::MethodClass;

    use super::*;
    use crate::{
        access_log::Record,
        consumer::{
            again::Again,
            bundle::{Kind, Place},
            caller::Recipient,
            fate::Fault,
            testing::consumer,
        },
        control_plane::testing::{Answer as Said, ControlPlane},
        testing::ends::Ends,
    };

    /// It would count as ten seconds, and calls would leave it.
    #[tokio::test]
    async fn a_call_that_the_own_enclave_refuses_says_nothing_of_the_producer() {
        let control_plane = ControlPlane::start(|_, _| Said::Json(serde_json::Value::Null)).await;
        let ends = Ends::installed(4).await;
        let nowhere = "http://127.0.0.1:9".to_owned();
        let (consumer, bundle) = consumer(&ends, Policy::default(), nowhere, &control_plane);
        let place = bundle.place(Kind::Call, Instant::now()).await;
        let Some(Place::Fresh(fresh)) = place else {
            panic!("it is new");
        };
        // The enclave knows no such lane.
        let lane = bundle.opened(fresh, 9);
        let terms = Terms {
            deadline: Instant::now() + Duration::from_secs(60),
            recipient: Recipient::default(),
            again: Again {
                class: MethodClass::Safe,
                is_whole: true,
            },
            begun: Arc::default(),
            record: Record::default(),
        };
        let content = Outgoing::Whole(Arc::new(Content::default()));
        let failure = start(consumer, lane, content, terms).await.unwrap();
        let failure = failure.err().unwrap();
        assert_eq!((failure.fate, failure.fault), (Fate::NotSent, Fault::None));
    }
}
