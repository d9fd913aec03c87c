//! The application's side: plain HTTP.

use std::{sync::Arc, time::Duration};

use armour_listener::{expects_to_continue, rules};
use armour_telemetry::trace;
use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{Method, header};
use http_body::Body as _;
use tokio::time::Instant;
use tracing::{Instrument, Span, field};

use super::{
    caller::Recipient,
    exchange::{self, Outgoing},
    fate,
    pair::ConsumerPair,
    upgrade::{self, Upgrade},
};
use crate::{
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
    let outcome = forward(consumer, request).instrument(span.clone()).await;
    let (response, outcome) = match outcome {
        Ok(response) => (response, "answered"),
        Err(refusal) => {
            span.record("armour.refused", refusal.problem.name());
            let name = refusal.problem.name();
            (refusal.into_response(), name)
        }
    };
    METRICS.call(outcome, since.elapsed());
    span.record("http.response.status_code", response.status().as_u16());
    response
}

async fn forward(consumer: &Arc<ConsumerPair>, mut request: Request) -> Result<Response, Refusal> {
    // Under the seal alone: an exchange tells nobody on its way which trace it is of.
    trace::inject(&Span::current(), request.headers_mut());
    let recipient = Recipient::of(&request);
    let upgrade = Upgrade::of(&mut request, &consumer.random);
    let class = fate::class(request.method());
    let mut outgoing = Some(
        read(request, upgrade.is_some(), &recipient)
            .await
            .map_err(|refusal| refusal.ran(Ran::No))?,
    );
    let deadline = Instant::now() + consumer.patience();
    let mut backoff = Backoff::up_to(LONGEST_WAIT);
    loop {
        let lane = consumer.lane(deadline).await;
        let lane = lane.map_err(|refusal| refusal.ran(Ran::No))?;
        let retry = lane.bundle.policy.retry;
        // A stream is sent once: its body cannot be read again.
        let again = match &outgoing {
            Some(Outgoing::Whole(content)) => Some(Outgoing::Whole(content.clone())),
            _ => None,
        };
        let Some(sent) = std::mem::replace(&mut outgoing, again) else {
            return Err(Refusal::stopping());
        };
        let outcome =
            exchange::start(consumer.clone(), lane, sent, deadline, recipient.clone()).await;
        let failure = match outcome.map_err(|_| Refusal::stopping())? {
            Ok(response) => {
                return Ok(upgrade::answer(upgrade, response));
            }
            Err(failure) => failure,
        };
        let time = Instant::now() < deadline && !consumer.closing.is_cancelled();
        if outgoing.is_none() || !time || !failure.may_go_again(class, retry) {
            return Err(failure.refusal);
        }
        tracing::debug!(fate = ?failure.fate, kind = failure.refusal.problem.name(),
            "a request is made anew");
        tokio::select! {
            () = backoff.wait() => {}
            () = tokio::time::sleep_until(deadline) => return Err(failure.refusal),
        }
    }
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
