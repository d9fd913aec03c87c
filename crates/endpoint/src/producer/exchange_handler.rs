//! What consumers' agents call: `POST /armour/v2/exchange`, and to re-key what flows there
//! [`rekey_handler`].

use std::{sync::Arc, time::Duration};

use armour_api::{ReportVerdict, Reporting};
use armour_enclave::{
    EnclaveError,
    binding::LaneId,
    ipc::{self, Accepted},
};
use armour_protocol::v2::{
    body::Direction,
    message::{Evidence, SignedReceipt, SignedTicket},
    mode::Reason,
    proxy::{Incoming, Look, Pending},
};
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use http::Uri;
use tokio::time::Instant;

use super::{
    answers::{bundle_of, head_frame, respond, unknown, unreadable},
    bundles::{Held, Known},
    call::Call,
    endpoint::ProducerEndpoint,
    exchange::Exchange,
    rekey_handler,
    serving::Recorded,
};
use crate::{
    control_plane::{lease, reporter},
    metrics::{METRICS, TicketKind},
    wire::{
        message::{EXCHANGE_PATH, MessageReader, REKEY_PATH, ReadError},
        problem::Refusal,
        problem_type::ProblemType,
        version,
    },
};

/// When to come again with a ticket that could not be taken.
const AGAIN_MS: u32 = 200;

/// What consumers' agents call; everything else is refused.
pub fn router(producer: Arc<ProducerEndpoint>) -> Router {
    Router::new()
        .route(&version::path(EXCHANGE_PATH), post(take))
        .route(&version::path(REKEY_PATH), post(rekey))
        .fallback(not_served)
        .with_state(producer)
}

async fn not_served(uri: Uri) -> Response {
    version::refuse(uri.path()).unwrap_or_else(|| {
        let detail = "only protected exchanges are served here";
        Refusal::new(ProblemType::NotFound, detail).into_response()
    })
}

async fn take(State(producer): State<Arc<ProducerEndpoint>>, request: Request) -> Response {
    answer(exchange(&producer, request).await)
}

async fn rekey(State(producer): State<Arc<ProducerEndpoint>>, request: Request) -> Response {
    answer(rekey_handler::rekey(&producer, request).await)
}

fn answer(answered: Result<Response, Refusal>) -> Response {
    match answered {
        Ok(response) => response,
        Err(refusal) => {
            tracing::debug!(kind = refusal.problem.name(), "refused");
            refusal.into_response()
        }
    }
}

/// What a ticket is answered with.
enum Answer {
    /// What its exchange gives.
    Exchange(Arc<Exchange>),
    /// A transient refusal.
    PutOff(Bytes),
    /// Nothing before the exchange ahead of it on its lane has ended.
    Early(Arc<Exchange>),
}

async fn exchange(producer: &Arc<ProducerEndpoint>, request: Request) -> Result<Response, Refusal> {
    let mut message = MessageReader::new(request.into_body());
    let frame = head_frame(&mut message).await?;
    let held = match producer.bundles.get(bundle_of(&frame)?).await {
        Some(Known::Held(held)) => held,
        Some(Known::Gone(gone)) => {
            if let Some((context, ticket)) = gone.evidence(&frame) {
                let lane = reporter::lane_of(&ticket);
                producer.reporter.add(&context, ticket);
                // No receipt follows.
                producer.reporter.give_up(lane);
            }
            return Err(unknown());
        }
        None => return Err(unknown()),
    };
    // Whoever is not held up by this knows the bundle's secret, or has copied a frame.
    let head = held
        .gate
        .check(Direction::Request, &frame)
        .map_err(|_| Refusal::new(ProblemType::Gate, "not of this bundle"))?;
    let ticket = SignedTicket::from_bytes(head).map_err(|error| unreadable(&error.into()))?;
    let begin_within = Duration::from_millis(held.policy.begin_within_ms.into());
    let until = Instant::now() + begin_within;
    let mut early = false;
    let exchange = loop {
        // In a task of its own: what the enclave has accepted must be noted though the
        // connection breaks meanwhile.
        let accepted = tokio::spawn(accept(
            producer.clone(),
            held.clone(),
            ticket.clone(),
            head.to_vec(),
        ));
        match accepted.await.map_err(|_| Refusal::stopping())?? {
            Answer::Exchange(exchange) => break exchange,
            Answer::PutOff(frame) => return Ok(respond(Body::from(frame))),
            // Its consumer has sent all of the request ahead of it, on another connection. A
            // stream cannot come again, so it waits, for as long as a call may.
            Answer::Early(ahead) if !early => {
                early = true;
                let ended = tokio::time::timeout_at(until, ahead.ended.cancelled()).await;
                ended.map_err(|_| elsewhere())?;
            }
            Answer::Early(_) => return Err(elsewhere()),
        }
    };
    attend(&exchange, message).await?;
    Ok(respond(Body::from_stream(exchange.log.read())))
}

/// Reads the request's content for as long as it is awaited, and waits until its call has
/// begun or is answered: then HTTP's response begins, and the consumer is patient.
async fn attend(exchange: &Arc<Exchange>, mut message: MessageReader) -> Result<(), Refusal> {
    if exchange.is_awaited() {
        let taken = async {
            let (header, sealed) = message.segment().await?;
            exchange
                .take(header, &sealed, message)
                .map_err(ReadError::from)
        };
        tokio::select! {
            biased;
            () = exchange.log.has_begun() => return Ok(()),
            taken = taken => taken.map_err(|error| unreadable(&error))?,
        }
    }
    exchange.log.has_begun().await;
    Ok(())
}

/// Accepts the ticket, or finds the exchange that it repeats.
async fn accept(
    producer: Arc<ProducerEndpoint>,
    held: Arc<Held>,
    ticket: SignedTicket,
    head: Vec<u8>,
) -> Result<Answer, Refusal> {
    let (producer, held) = (&producer, &held);
    let body = ticket.unverified().body();
    let lane = LaneId {
        bundle: body.header.bundle,
        lane: body.header.lane,
    };
    let _one = held.stripe(lane.lane).lock().await;
    let (look, last) = held.lanes.lock().look(&body);
    let ahead = match (look, last) {
        (Look::Repeat, Some(last)) => {
            METRICS.ticket(TicketKind::Repeat);
            return Ok(Answer::Exchange(last));
        }
        (Look::Older | Look::Repeat, _) => {
            METRICS.ticket(TicketKind::Older);
            return Err(elsewhere());
        }
        (Look::Ask, ahead) => ahead,
    };
    let behind = lease::is_over(&producer.session, &producer.reporter, held.lease());
    if behind && !ticket.unverified().mode().has_content() {
        return put_off(producer, held, lane, &head, Reason::LEDGER).await;
    }
    let accepted = producer.enclave.accept(lane, head.clone()).await;
    METRICS.ticket(kind(&accepted));
    match accepted {
        Ok(Accepted::Answered { receipt, ended }) => {
            answered(producer, held, &ticket, &receipt, ended)
        }
        Ok(Accepted::Call(incoming)) => {
            let incoming = Incoming::from_bytes(&incoming).map_err(|_| Refusal::stopping())?;
            let pending = Pending::new(held.context.clone(), incoming);
            let begin_by = pending.begin_by();
            let (exchange, arrival) = Exchange::awaited(body, pending);
            held.lanes.lock().accepted(exchange.clone());
            let recorded = record(producer, held, ticket.evidence(), behind);
            let call = Call {
                producer: producer.clone(),
                held: held.clone(),
                exchange: exchange.clone(),
                lane,
                begin_by,
                record: Call::record(producer, held, lane, body.header.n),
            };
            producer.leaving.called();
            producer.running.spawn(call.serve(recorded, arrival));
            Ok(Answer::Exchange(exchange))
        }
        Ok(Accepted::Repeat) => {
            let (_, last) = held.lanes.lock().look(&body);
            let last = last.filter(|last| last.ticket == body);
            last.map(Answer::Exchange).ok_or_else(elsewhere)
        }
        Ok(Accepted::Conflict) => {
            if held.lanes.lock().conflicts(&body) {
                producer.reporter.add(&held.context, ticket.evidence());
            }
            Err(Refusal::new(
                ProblemType::TicketConflict,
                "another ticket took this one's place",
            ))
        }
        Ok(Accepted::ForeignReceipt | Accepted::Elsewhere) => {
            if held.lanes.lock().is_news(&body) {
                producer.reporter.add(&held.context, ticket.evidence());
                // Its consumer may have been answered by a copy of this producer: what the
                // ledger holds is compared now.
                producer.session.heartbeat_now();
            }
            Err(elsewhere())
        }
        // It ended meanwhile.
        Err(error) if error.is("bundle-ended") || error.is("bundle-unknown") => Err(unknown()),
        Err(error) if error.is("retired") => Err(Refusal::stopping()),
        Err(error) if error.is("busy") => put_off(producer, held, lane, &head, Reason::BUSY).await,
        Err(error) if error.is("streaming") => ahead.map(Answer::Early).ok_or_else(elsewhere),
        Err(EnclaveError::Refused(code)) => {
            tracing::debug!(code, lane = lane.lane, "not a ticket of this lane");
            Err(Refusal::new(
                ProblemType::Malformed,
                "not a ticket of this lane",
            ))
        }
        Err(EnclaveError::Gone) => Err(Refusal::stopping()),
    }
}

/// Reports an accepted ticket. Under strict reporting its call waits for the ledger's word.
fn record(
    producer: &Arc<ProducerEndpoint>,
    held: &Arc<Held>,
    ticket: Evidence,
    behind: bool,
) -> Recorded {
    if behind {
        producer.reporter.add(&held.context, ticket);
        return Recorded::No;
    }
    if held.policy.reporting == Reporting::Batched {
        producer.reporter.add(&held.context, ticket);
        return Recorded::Yes;
    }
    let (reporter, context) = (producer.reporter.clone(), held.context.clone());
    Recorded::Asked(Box::pin(async move {
        let verdict = reporter.add_now(&context, ticket).await;
        verdict == Some(ReportVerdict::Accepted)
    }))
}

/// A ticket without content, whose receipt the enclave has made at once.
fn answered(
    producer: &ProducerEndpoint,
    held: &Held,
    ticket: &SignedTicket,
    receipt: &[u8],
    ended: Option<u16>,
) -> Result<Answer, Refusal> {
    let body = ticket.unverified().body();
    let frame = held.gate.frame(Direction::Response, receipt);
    let exchange = Exchange::answered(body, frame.into());
    {
        let mut lanes = held.lanes.lock();
        lanes.accepted(exchange.clone());
        match ended {
            Some(lane) if lane == body.header.lane => lanes.closed(lane),
            Some(lane) => lanes.replaced(lane),
            None => {}
        }
    }
    if let Some(log_head) = ticket.unverified().log_head() {
        producer
            .session
            .compare_log_head(held.id, log_head.to_vec());
    }
    producer.reporter.add(&held.context, ticket.evidence());
    if let Ok(receipt) = SignedReceipt::from_bytes(receipt) {
        producer.reporter.add(&held.context, receipt.evidence());
    }
    Ok(Answer::Exchange(exchange))
}

/// A signed word that the same ticket may come again.
async fn put_off(
    producer: &ProducerEndpoint,
    held: &Held,
    lane: LaneId,
    head: &[u8],
    reason: Reason,
) -> Result<Answer, Refusal> {
    let refusal = producer
        .enclave
        .put_off(lane, head.to_vec(), reason.as_u8(), AGAIN_MS)
        .await;
    match refusal {
        Ok(refusal) => {
            let frame = held.gate.frame(Direction::Response, &refusal);
            Ok(Answer::PutOff(frame.into()))
        }
        Err(EnclaveError::Refused(_)) => Err(elsewhere()),
        Err(EnclaveError::Gone) => Err(Refusal::stopping()),
    }
}

fn kind(accepted: &Result<ipc::Accepted, EnclaveError>) -> TicketKind {
    match accepted {
        Ok(Accepted::Answered { .. } | Accepted::Call(_)) => TicketKind::Next,
        Ok(Accepted::Repeat) => TicketKind::Repeat,
        Ok(Accepted::Conflict) => TicketKind::Conflict,
        Ok(Accepted::ForeignReceipt) => TicketKind::Foreign,
        Ok(Accepted::Elsewhere) => TicketKind::Elsewhere,
        Err(_) => TicketKind::Invalid,
    }
}

fn elsewhere() -> Refusal {
    Refusal::new(
        ProblemType::TicketElsewhere,
        "the lane is not at this ticket",
    )
}
