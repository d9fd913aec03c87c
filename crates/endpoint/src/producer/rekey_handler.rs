//! What consumers' agents call to re-key streams: `POST /armour/v2/rekey`.

use std::sync::Arc;

use armour_enclave::binding::LaneId;
use armour_protocol::v2::{body::Direction, checkpoint::SignedCheckpoint, rekey::SignedSubTicket};
use axum::{body::Body, extract::Request, response::Response};
use bytes::Bytes;

use super::{
    answers::{bundle_of, head_frame, respond, unknown, unreadable},
    bundles::{Held, Known},
    endpoint::ProducerEndpoint,
    rekeying::Unanswered,
};
use crate::{
    foreign_checkpoint::ForeignCheckpoint,
    rekey_times::RekeyTimes,
    wire::{message::MessageReader, problem::Refusal, problem_type::ProblemType},
};

/// Answers a sub-ticket.
pub async fn rekey(
    producer: &Arc<ProducerEndpoint>,
    request: Request,
) -> Result<Response, Refusal> {
    let mut message = MessageReader::new(request.into_body());
    let frame = head_frame(&mut message).await?;
    let held = match producer.bundles.get(bundle_of(&frame)?).await {
        Some(Known::Held(held)) => held,
        Some(Known::Gone(gone)) => {
            if let Some((context, ticket)) = gone.sub_evidence(&frame) {
                producer.reporter.add_sub(&context, ticket);
            }
            return Err(unknown());
        }
        None => return Err(unknown()),
    };
    let head = held
        .gate
        .check(Direction::Request, &frame)
        .map_err(|_| Refusal::new(ProblemType::Gate, "not of this bundle"))?;
    let ticket = SignedSubTicket::from_bytes(head).map_err(|error| unreadable(&error.into()))?;
    // In a task of its own: what the enclave has answered must be noted though the connection
    // breaks meanwhile.
    let answered = tokio::spawn(answer(producer.clone(), held, ticket));
    let frame = answered.await.map_err(|_| Refusal::stopping())??;
    Ok(respond(Body::from(frame)))
}

async fn answer(
    producer: Arc<ProducerEndpoint>,
    held: Arc<Held>,
    ticket: SignedSubTicket,
) -> Result<Bytes, Refusal> {
    let body = ticket.unverified().body();
    let lane = LaneId {
        bundle: body.bundle,
        lane: body.lane,
    };
    let exchange = held.lanes.lock().last(body.lane);
    let exchange = exchange.filter(|exchange| exchange.ticket.header.n == body.n);
    let answered = match (exchange, RekeyTimes::of(&held.policy)) {
        (Some(exchange), Some(times)) => {
            let report = |evidence| producer.reporter.add_sub(&held.context, evidence);
            let ends = (&producer.enclave, &*held.gate);
            let rekeying = &exchange.rekeying;
            rekeying.answer(ends, lane, &ticket, times, report).await
        }
        // No consumer that is alone signs one there, nor where streams are not re-keyed.
        _ => Err(Unanswered::Elsewhere),
    };
    match answered {
        Ok(frame) => Ok(frame),
        Err(why) => Err(refused(&producer, &held, &ticket, why).await),
    }
}

async fn refused(
    producer: &ProducerEndpoint,
    held: &Held,
    ticket: &SignedSubTicket,
    why: Unanswered,
) -> Refusal {
    match why {
        Unanswered::Conflict => {
            stray(producer, held, ticket);
            Refusal::new(
                ProblemType::TicketConflict,
                "another sub-ticket took this one's place",
            )
        }
        Unanswered::Elsewhere => {
            stray(producer, held, ticket);
            elsewhere()
        }
        Unanswered::Invalid => elsewhere(),
        Unanswered::ForeignCheckpoint => {
            // If its consumer did not sign it, it says so once the ledger has it.
            stray(producer, held, ticket);
            foreign_checkpoint(producer, held, ticket.unverified().body().lane, None).await;
            unknown()
        }
        Unanswered::TooSoon => Refusal::new(
            ProblemType::Busy,
            "streams are re-keyed no more often than the policy says",
        ),
        Unanswered::Gone => Refusal::stopping(),
    }
}

/// Somebody signs checkpoints with the consumer's key, or says what this end never signed: the
/// bundle ends, and whoever looks after the endpoint hears of it.
pub(super) async fn foreign_checkpoint(
    producer: &ProducerEndpoint,
    held: &Held,
    lane: u16,
    proof: Option<&SignedCheckpoint>,
) {
    let lane = LaneId {
        bundle: held.id.into_bytes(),
        lane,
    };
    ForeignCheckpoint::of(held.id, lane, proof).tell(&producer.session);
    producer.bundles.give_up(held).await;
}

/// What does not follow, though its consumer signed it, shows that somebody was copied: the
/// ledger compares it.
fn stray(producer: &ProducerEndpoint, held: &Held, ticket: &SignedSubTicket) {
    let evidence = ticket.evidence();
    let known = held.lanes.lock().is_known_stray(&evidence.body);
    if known || evidence.verify(&held.context).is_err() {
        return;
    }
    if held.lanes.lock().note_stray(&evidence.body) {
        producer.reporter.add_sub(&held.context, evidence);
        producer.session.heartbeat_now();
    }
}

fn elsewhere() -> Refusal {
    Refusal::new(
        ProblemType::TicketElsewhere,
        "the lane is not at this sub-ticket",
    )
}
