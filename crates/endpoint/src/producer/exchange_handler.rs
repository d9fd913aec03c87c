//! What consumers' agents call: `POST /armour/v1/exchange`.

use std::{borrow::Cow, sync::Arc, time::Duration};

use armour_api::{ReportVerdict, Reporting};
use armour_enclave::{EnclaveError, binding::LaneId, ipc::Accepted};
use armour_protocol::ticket::{SIGNED_TICKET_LEN, SignedTicket};
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use http::{HeaderValue, header};
use uuid::Uuid;

use super::{
    bundles::{Held, Known},
    endpoint::ProducerEndpoint,
    exchange::Exchange,
};
use crate::{
    metrics::METRICS,
    wire::{
        message::{EXCHANGE_PATH, MessageReader, ReadError},
        problem::Refusal,
        problem_type::ProblemType,
    },
};

/// How long a request's head may take to arrive.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Lanes are numbered below this, the most a policy allows.
const MAX_LANES: u32 = 1024;

/// One route; everything else is refused.
pub fn router(producer: Arc<ProducerEndpoint>) -> Router {
    Router::new()
        .route(EXCHANGE_PATH, post(take))
        .fallback(async || {
            Refusal::new(
                ProblemType::NotFound,
                "only protected exchanges are served here",
            )
        })
        .with_state(producer)
}

async fn take(State(producer): State<Arc<ProducerEndpoint>>, request: Request) -> Response {
    match exchange(&producer, request).await {
        Ok(response) => response,
        Err(refusal) => {
            tracing::debug!(kind = refusal.problem.name(), "refused");
            refusal.into_response()
        }
    }
}

async fn exchange(producer: &Arc<ProducerEndpoint>, request: Request) -> Result<Response, Refusal> {
    if producer.closed.is_cancelled() {
        return Err(Refusal::stopping());
    }
    let mut message = MessageReader::new(request.into_body());
    let head = tokio::time::timeout(HEAD_TIME, message.request_head())
        .await
        .map_err(|_| Refusal::new(ProblemType::HeadTimeout, "the request's head took too long"))?
        .map_err(|error| unreadable(&error))?;
    let ticket = SignedTicket::from_bytes(&head[..SIGNED_TICKET_LEN])
        .map_err(|error| invalid(error.code(), "malformed ticket"))?;
    let id = Uuid::from_bytes(ticket.ticket.bundle);
    let held = match producer.bundles.get(id).await? {
        Known::Held(held) => held,
        Known::Gone(gone) => {
            if gone.is_evidence(&ticket) {
                producer.reporter.add(ticket);
            }
            return Err(gone.refusal.clone());
        }
    };
    let lease = held.grant.lease();
    if producer.session.silence() > lease || producer.reporter.is_behind(lease) {
        return Err(Refusal::lease_expired());
    }
    let exchange = accept(producer, &held, ticket, head.to_vec()).await?;
    if held.grant.policy.reporting == Reporting::Strict {
        recorded(producer, ticket).await?;
    }
    if !exchange.is_started() {
        let intake = tokio::spawn({
            let (producer, exchange) = (producer.clone(), exchange.clone());
            async move { exchange.intake(&producer, message).await }
        });
        tokio::select! {
            biased;
            () = exchange.log.has_head() => {}
            taken = intake => match taken {
                Ok(Err(error)) => return Err(unreadable(&error)),
                _ => exchange.log.has_head().await,
            }
        }
    } else {
        exchange.log.has_head().await;
    }
    let mut response = Response::new(Body::from_stream(exchange.log.read()));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    Ok(response)
}

/// Accepts the ticket, or finds the exchange that it repeats.
async fn accept(
    producer: &ProducerEndpoint,
    held: &Held,
    ticket: SignedTicket,
    head: Vec<u8>,
) -> Result<Arc<Exchange>, Refusal> {
    let lane = LaneId {
        bundle: ticket.ticket.bundle,
        lane: ticket.ticket.lane,
    };
    if lane.lane >= MAX_LANES {
        return Err(Refusal::new(ProblemType::Address, "no such lane"));
    }
    let _one = held.stripe(lane.lane).lock().await;
    let accepted = producer.enclave.accept(lane, head).await;
    METRICS.ticket(match &accepted {
        Ok(Accepted::Next(_)) => "next",
        Ok(Accepted::Repeat) => "repeat",
        Ok(Accepted::Conflict) => "conflict",
        Ok(Accepted::Elsewhere) => "elsewhere",
        Err(_) => "invalid",
    });
    match accepted {
        Ok(Accepted::Next(keyed)) => {
            let exchange = Exchange::new(ticket, keyed, lane, held.grant.consumer_key);
            held.set_last(lane.lane, exchange.clone());
            if held.grant.policy.reporting == Reporting::Batched {
                producer.reporter.add(ticket);
            }
            Ok(exchange)
        }
        Ok(Accepted::Repeat) => held
            .last(lane.lane)
            .filter(|last| last.ticket == ticket)
            .ok_or_else(Refusal::stopping),
        Ok(Accepted::Conflict) => {
            producer.reporter.add(ticket);
            Err(Refusal::new(
                ProblemType::TicketConflict,
                "another ticket took this one's place",
            ))
        }
        Ok(Accepted::Elsewhere) => {
            producer.reporter.add(ticket);
            Err(Refusal::new(
                ProblemType::TicketElsewhere,
                "the lane is not at this ticket",
            ))
        }
        Err(EnclaveError::Refused(code)) => Err(invalid(code, "not a ticket of this lane")),
        Err(EnclaveError::Gone) => Err(Refusal::stopping()),
    }
}

/// Strict reporting: the ledger has the ticket before anything comes of it.
async fn recorded(producer: &ProducerEndpoint, ticket: SignedTicket) -> Result<(), Refusal> {
    match producer.reporter.add_now(ticket).await {
        Some(ReportVerdict::Accepted) => Ok(()),
        Some(ReportVerdict::Collision | ReportVerdict::Disconnected) => Err(Refusal::new(
            ProblemType::BundleDisconnected,
            "the bundle was disconnected",
        )),
        Some(_) => Err(Refusal::new(
            ProblemType::NotRecorded,
            "the ledger does not take this ticket",
        )),
        None => Err(Refusal::stopping()),
    }
}

fn invalid(code: impl Into<Cow<'static, str>>, detail: &str) -> Refusal {
    Refusal::new(ProblemType::Protocol(code.into()), detail)
}

fn unreadable(error: &ReadError) -> Refusal {
    match error {
        ReadError::Cut => Refusal::new(ProblemType::Cut, "the message is cut short"),
        ReadError::Protocol(error) => invalid(error.code(), "the message is not valid"),
    }
}
