//! The application's side: plain HTTP.

use std::{sync::Arc, time::Duration};

use armour_listener::{expects_to_continue, rules};
use armour_telemetry::trace;
use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Method, header};
use http_body::Body as _;
use tokio::time::Instant;
use tracing::{Instrument, Span, field};

use super::{
    again::Again,
    bundle::Kind,
    caller::Recipient,
    exchange::{self, Outgoing},
    fate::{self, Failure, Fault},
    in_flight::Terms,
    lanes::Need,
    pair::ConsumerPair,
    standing::Waiting,
    trouble::Trouble,
    upgrade::{self, Upgrade},
};
use crate::{
    access_log::{Record, Side},
    backoff::Backoff,
    metrics::METRICS,
    wire::{
        bhttp,
        body::{Ahead, ahead},
        content::Content,
        problem::{Ran, Refusal},
        problem_type::ProblemType,
        websocket,
    },
};

/// The longest wait before a request is made anew.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How long a body whose length its caller does not say may take to be complete so that it is
/// sent whole. One that waits for an answer before it goes on is never complete.
const WHOLE_WITHIN: Duration = Duration::from_millis(20);

/// Every path is the producer's.
pub fn router(consumer: Arc<ConsumerPair>) -> Router {
    Router::new().fallback(call).with_state(consumer)
}

async fn call(State(consumer): State<Arc<ConsumerPair>>, request: Request) -> Response {
    serve(&consumer, request).await
}

/// Sends a request protected, and brings its response; a refusal of the agent's own is a
/// problem document.
pub async fn serve(consumer: &Arc<ConsumerPair>, request: Request) -> Response {
    let span = tracing::info_span!(
        "armour.call",
        otel.kind = "server",
        http.request.method = %request.method(),
        http.response.status_code = field::Empty,
        armour.refused = field::Empty,
    );
    trace::adopt(&span, request.headers());
    let since = Instant::now();
    let record = consumer.access_log.begin(Side::Consumer);
    record.asked(&request, &span);
    record.pair(consumer.pair.lock().id);
    let outcome = forward(consumer, request, &record)
        .instrument(span.clone())
        .await;
    let (response, outcome) = match outcome {
        Ok(response) => (response, "answered"),
        Err(refusal) => {
            let name = refusal.problem.name();
            span.record("armour.refused", name);
            consumer.refused.log(&refusal);
            record.refused(&refusal);
            (record.own_answer(refusal.into_response()), name)
        }
    };
    METRICS.call(outcome, since.elapsed());
    span.record("http.response.status_code", response.status().as_u16());
    response
}

async fn forward(
    consumer: &Arc<ConsumerPair>,
    mut request: Request,
    record: &Record,
) -> Result<Response, Refusal> {
    // Under the seal alone: an exchange tells nobody on its way which trace it is of.
    trace::inject(&Span::current(), request.headers_mut());
    let recipient = Recipient::of(&request);
    let upgrade = Upgrade::of(&mut request, &consumer.random);
    let class = fate::class(request.method());
    let request = record.request(request);
    let lasts = upgrade.is_some() || wants_events(request.headers());
    let outgoing = read(request, upgrade.is_some(), &recipient)
        .await
        .map_err(|refusal| refusal.ran(Ran::No))?;
    let is_whole = matches!(outgoing, Outgoing::Whole(_));
    let kind = match is_whole && !lasts {
        true => Kind::Call,
        false => Kind::Stream,
    };
    let terms = Terms {
        deadline: Instant::now() + consumer.patience(),
        recipient,
        again: Again { class, is_whole },
        begun: Arc::default(),
        record: record.clone(),
    };
    let response = answered(consumer, outgoing, kind, terms).await?;
    Ok(upgrade::answer(upgrade, record.answer(response)))
}

/// Makes a call, and makes it anew where that does no harm: at once at another producer's
/// endpoint, else after a while.
async fn answered(
    consumer: &Arc<ConsumerPair>,
    outgoing: Outgoing,
    kind: Kind,
    terms: Terms,
) -> Result<Response, Refusal> {
    let mut outgoing = Some(outgoing);
    let mut backoff = Backoff::up_to(LONGEST_WAIT);
    // The endpoints that it was at, and whether it may have run there.
    let (mut before, mut ran) = (Vec::new(), Ran::No);
    consumer.retries.call();
    loop {
        let need = Need {
            kind,
            until: terms.deadline,
            before: &before,
        };
        let placed = consumer.lane(&need).await;
        let (lane, waiting) = placed.map_err(|refusal| refusal.ran(ran))?;
        let bundle = lane.bundle.clone();
        let (peer, address) = (bundle.standing.producer, Some(bundle.producer.as_str()));
        terms.record.placed(bundle.id, lane.number, peer, address);
        // A stream is sent once: its body cannot be read again.
        let again = match &outgoing {
            Some(Outgoing::Whole(content)) => Some(Outgoing::Whole(content.clone())),
            _ => None,
        };
        let Some(sent) = std::mem::replace(&mut outgoing, again) else {
            return Err(Refusal::stopping().ran(ran));
        };
        let terms = Terms {
            begun: waiting.begun(),
            ..terms.clone()
        };
        let outcome = exchange::start(consumer.clone(), lane, sent, terms.clone()).await;
        let mut failure = match outcome.map_err(|_| Refusal::stopping().ran(Ran::Unknown))? {
            Ok(response) => {
                waiting.answered(!response.status().is_server_error());
                return Ok(response);
            }
            Err(failure) => failure,
        };
        let permit = failure.permit.take();
        if !failure.fate.did_not_run() {
            ran = Ran::Unknown;
        }
        if failure.fault == Fault::Busy {
            bundle.standing.leave_out(Trouble::Busy);
        }
        counted(waiting, &failure);
        let time = Instant::now() < terms.deadline && !consumer.closing.is_cancelled();
        let may = failure.may_go_again(terms.again.class, bundle.policy.retry);
        before.push(bundle.standing.producer);
        let again = outgoing.is_some() && time && may;
        // Where all fail, more calls do not help.
        let leave = || (!consumer.all_fail()).then(|| consumer.retries.permit());
        if !again || permit.or_else(|| leave().flatten()).is_none() {
            return Err(failure.refusal.ran(ran));
        }
        METRICS.call_again(failure.refusal.problem.name());
        tracing::debug!(fate = ?failure.fate, kind = failure.refusal.problem.name(),
            "a request is made anew");
        if consumer.is_elsewhere(&before) {
            continue;
        }
        before.clear();
        tokio::select! {
            () = backoff.wait() => {}
            () = tokio::time::sleep_until(terms.deadline) => {
                return Err(failure.refusal.ran(ran));
            }
        }
    }
}

/// What a failed call tells of its producer's endpoint.
fn counted(waiting: Waiting, failure: &Failure) {
    match failure.fault {
        Fault::None => drop(waiting),
        Fault::Failing | Fault::Busy => waiting.failed(),
    }
}

/// Whether a caller asks for a stream of events, which may last.
fn wants_events(fields: &HeaderMap) -> bool {
    let mut accepted = fields.get_all(header::ACCEPT).iter();
    accepted.any(|value| {
        value
            .to_str()
            .is_ok_and(|value| value.to_ascii_lowercase().contains("text/event-stream"))
    })
}

/// Encodes a request; all that can be sent whole is read before a lane is taken, so that a
/// slow caller of a small request holds none, and it can be sent again.
async fn read(
    request: Request,
    is_handshake: bool,
    recipient: &Recipient,
) -> Result<Outgoing, Refusal> {
    let (mut parts, body) = request.into_parts();
    // Any other upgrade is an offer, which is not taken (RFC 9110, section 7.8).
    let upgrades = parts.method == Method::CONNECT || websocket::is_asked_for(&parts.headers);
    if upgrades && !is_handshake {
        return Err(Refusal::new(
            ProblemType::Upgrade,
            "CONNECT, and handshakes of WebSocket that are malformed or have content, cannot be protected",
        ));
    }
    bhttp::strip_hop_by_hop(&mut parts.headers);
    if is_handshake {
        websocket::carry_in(&mut parts.headers);
    }
    // Whoever waits to be told to go on is told so by the API; nothing of its content is there
    // before (RFC 9110, section 10.1.1).
    let expects = expects_to_continue(&parts.headers) && !body.is_end_stream();
    if expects {
        recipient.withhold_continue();
    } else {
        parts.headers.remove(header::EXPECT);
    }
    let mut encoded = Content::default();
    bhttp::put_request(&parts, &mut encoded);
    if encoded.len() > rules::MAX_HEAD || parts.headers.len() > rules::MAX_FIELDS {
        return Err(Refusal::new(
            ProblemType::FieldsTooLarge,
            "target and header fields exceed 64 KiB or 500 fields; send fewer",
        ));
    }
    let within = match body.size_hint().exact() {
        // Nothing comes before the answer.
        _ if is_handshake || expects => Some(Duration::ZERO),
        Some(_) => None,
        None => Some(WHOLE_WITHIN),
    };
    match ahead(body, encoded, within).await {
        Ahead::Whole(content) => Ok(Outgoing::Whole(Arc::new(content))),
        Ahead::More(content, rest) => Ok(Outgoing::Stream(content, rest)),
        Ahead::Broken(..) => Err(Refusal::new(
            ProblemType::Body,
            "the request's body was cut short",
        )),
    }
}
