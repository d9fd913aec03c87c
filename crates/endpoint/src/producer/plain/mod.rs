//! Calls that come without protection, which a producer's agent in permissive mode passes to its
//! API while consumers are given agents. Each is marked for the API, counted and told of: without
//! the mode it would have been refused. What claims to be protected is never one of them, however
//! it fails.

mod held;
mod permissive;

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use armour_api::RetryPolicy;
use armour_listener::{Interim, rules};
use armour_protocol::v2::{mode::Reason, time::ProducerTime};
use armour_telemetry::trace;
use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderValue, Method, header};
use tokio::sync::Semaphore;
use tower::ServiceExt as _;
use tracing::Instrument as _;

use self::held::{Held, Watched};
pub use self::permissive::{Permissive, observe};
use super::{
    answer::head_of, endpoint::ProducerEndpoint, exchange_handler, turn::turns,
    unprotected::Unprotected, upstream::Terms,
};
use crate::{
    access_log::{Record, Side},
    consumer::{
        fate::Failure,
        upgrade::{self, Upgrade},
    },
    wire::{
        bhttp, interims,
        message::BUNDLE_FIELD,
        problem::{Ran, Refusal},
        problem_type::ProblemType,
        websocket,
    },
};

/// How long the API may take to be reached.
const CONNECT: Duration = Duration::from_secs(10);
/// Where agents' own messages go, whatever becomes of them.
const OWN: &str = "/armour";

/// Serves protected exchanges, and passes on what came without protection.
pub fn router(producer: Arc<ProducerEndpoint>, permissive: Arc<Permissive>) -> Router {
    let protected = exchange_handler::router(producer.clone());
    let serve = move |request: Request| {
        let protected = protected.clone();
        let (producer, permissive) = (producer.clone(), permissive.clone());
        async move {
            Ok::<_, Infallible>(match claims_protection(&request) {
                true => match protected.oneshot(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                },
                false => call(&producer, &permissive, request).await,
            })
        }
    };
    Router::new().fallback_service(tower::service_fn(serve))
}

/// Whether a request is an agent's message, or says so.
fn claims_protection(request: &Request) -> bool {
    let rest = request.uri().path().strip_prefix(OWN);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        || request.headers().contains_key(BUNDLE_FIELD)
}

async fn call(
    producer: &Arc<ProducerEndpoint>,
    permissive: &Permissive,
    request: Request,
) -> Response {
    let span = tracing::info_span!(
        "armour.plain",
        otel.kind = "server",
        http.request.method = %request.method(),
    );
    trace::adopt(&span, request.headers());
    let record = producer.access_log.begin(Side::Producer);
    record.is_plain();
    record.asked(&request, &span);
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    permissive.passed(peer.map(|ConnectInfo(peer)| peer.ip()));
    let passed = pass(producer, permissive, request, &record);
    match passed.instrument(span).await {
        Ok(response) => response,
        Err(refusal) => {
            record.refused(&refusal);
            record.own_answer(refusal.into_response())
        }
    }
}

/// Passes a request to the API.
async fn pass(
    producer: &Arc<ProducerEndpoint>,
    permissive: &Permissive,
    mut request: Request,
    record: &Record,
) -> Result<Response, Refusal> {
    let under_way = producer.running.token();
    let refused = |reason| Failure::refused(reason).refusal;
    let interim = request.extensions().get::<Interim>().cloned();
    let upgrade = Upgrade::of(&mut request, &permissive.random);
    prepare(&mut request, upgrade.is_some())?;
    if producer.closed.is_cancelled() {
        return Err(refused(Reason::STOPPING));
    }
    let place = |places: &Option<Arc<Semaphore>>| match places {
        None => Ok(None),
        Some(places) => match places.clone().try_acquire_owned() {
            Ok(place) => Ok(Some(place)),
            Err(_) => Err(refused(Reason::BUSY)),
        },
    };
    let places = (place(&permissive.places)?, place(&producer.places)?);
    let upstream = producer.upstream();
    let connected = match tokio::time::timeout(CONNECT, upstream.connect()).await {
        Ok(Ok(connected)) => connected,
        _ => {
            producer.check_due.notify_one();
            return Err(refused(Reason::API));
        }
    };
    let (turns, turn) = turns();
    let (interims, mut arriving) = interims::channel();
    let now = producer.clock.now().0;
    let by = now.saturating_add(u64::try_from(CONNECT.as_millis()).unwrap_or(0));
    let terms = Terms {
        turn,
        begin_by: producer.clock.begin_by(ProducerTime(by)),
        retry: RetryPolicy::Safe,
        interims,
    };
    record.sent();
    let request = record.request(request);
    let request = request.map(|body| Body::new(Watched::new(body, turns)));
    let served = connected.serve(&producer.session, request, terms);
    tokio::pin!(served);
    let served = loop {
        tokio::select! {
            biased;
            (status, fields) = arriving.next() => {
                if let Some(interim) = &interim {
                    interim.send(status, fields);
                }
            }
            served = &mut served => break served,
        }
    };
    let response = served.map_err(Refusal::aborted)?;
    let (head, body) = head_of(response);
    let body = Body::new(Held::new(body, (under_way, places)));
    let response = record.answer(Response::from_parts(head, body));
    Ok(upgrade::answer(upgrade, response))
}

/// Makes a caller's request one for the API.
fn prepare(request: &mut Request, is_handshake: bool) -> Result<(), Refusal> {
    let refuse = |problem, detail| Err(Refusal::new(problem, detail).ran(Ran::No));
    let is_connect = request.method() == Method::CONNECT;
    let upgrades = is_connect || websocket::is_asked_for(request.headers());
    if upgrades && !is_handshake {
        return refuse(
            ProblemType::Upgrade,
            "CONNECT, and handshakes of WebSocket that are malformed or have content, are not \
             passed on",
        );
    }
    let host = request.uri().authority().map(ToString::to_string);
    let target = request
        .uri()
        .path_and_query()
        .map_or(1, |target| target.as_str().len());
    let headers = request.headers_mut();
    bhttp::strip_hop_by_hop(headers);
    if is_handshake {
        websocket::carry_in(headers);
    }
    // The listener tells its caller to go on once its content is read.
    headers.remove(header::EXPECT);
    own_host(headers, host.as_deref());
    if !rules::fits(headers, target) {
        return refuse(
            ProblemType::FieldsTooLarge,
            "target and header fields exceed 64 KiB or 500 fields; send fewer",
        );
    }
    request.extensions_mut().insert(Unprotected);
    Ok(())
}

/// An authority counts for more than `Host` (RFC 9110, section 7.2).
fn own_host(headers: &mut HeaderMap, authority: Option<&str>) {
    let named = authority.map(rules::without_user_info);
    if let Some(Ok(named)) = named.map(HeaderValue::from_str) {
        headers.insert(header::HOST, named);
    }
}
