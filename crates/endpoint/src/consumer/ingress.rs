//! The application's side: plain HTTP.

use std::sync::Arc;

use armour_telemetry::trace;
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use bytes::BytesMut;
use futures::StreamExt;
use http::{HeaderMap, header};
use http_body_util::BodyStream;
use tokio::time::Instant;
use tracing::{Instrument, Span, field};

use super::{
    delivery::Incoming,
    exchange::{self, Outgoing},
    pair::ConsumerPair,
};
use crate::{
    metrics::METRICS,
    wire::{bhttp, message::HELD, problem::Refusal, problem_type::ProblemType},
};

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
        Ok(response) => (response, "answered".into()),
        Err(refusal) => {
            span.record("armour.refused", refusal.problem.name());
            let name = refusal.problem.clone().into_name();
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
    let outgoing = read(request).await?;
    let lane = consumer.lane().await?;
    let answer = exchange::start(consumer.clone(), lane, outgoing);
    match answer.await.map_err(|_| Refusal::stopping())?? {
        Incoming::Response(response) => Ok(response),
        Incoming::Empty => Err(Refusal::new(
            ProblemType::Aborted,
            "the request was cut short on its way, and the producer has aborted it",
        )),
    }
}

/// Encodes a request; up to [`HELD`] bytes are read before a lane is taken, so
/// that a slow caller holds none and a small request can be sent again.
async fn read(request: Request) -> Result<Outgoing, Refusal> {
    let (mut parts, body) = request.into_parts();
    if parts.method == http::Method::CONNECT || parts.headers.contains_key(header::UPGRADE) {
        return Err(Refusal::new(
            ProblemType::Upgrade,
            "CONNECT and protocol upgrades, such as WebSocket, cannot be protected",
        ));
    }
    bhttp::strip_hop_by_hop(&mut parts.headers);
    parts.headers.remove(header::EXPECT);
    let mut encoded = BytesMut::new();
    bhttp::put_request(&parts, &mut encoded);
    if encoded.len() > bhttp::MAX_FIELDS {
        return Err(Refusal::new(
            ProblemType::FieldsTooLarge,
            "target and header fields exceed 64 KiB",
        ));
    }
    let mut body: BodyStream<Body> = BodyStream::new(body);
    let mut trailers = HeaderMap::new();
    while encoded.len() < HELD {
        match body.next().await {
            None => {
                bhttp::put_end(&trailers, &mut encoded);
                return Ok(Outgoing::Whole(encoded.freeze()));
            }
            Some(Err(_)) => {
                return Err(Refusal::new(
                    ProblemType::Body,
                    "the request's body was cut short",
                ));
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => bhttp::put_content(&data, &mut encoded),
                Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
            },
        }
    }
    Ok(Outgoing::Stream(encoded.freeze(), body))
}
