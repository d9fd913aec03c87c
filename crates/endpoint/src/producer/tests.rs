//! A producer with its consumer, both in this process.

mod leaving;
mod memory;
mod plain;
mod rekeying;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use armour_api::{Policy, ReportExchanges, ReportVerdict, ReportedExchanges};
use axum::{
    Router,
    body::{Body, Bytes},
    middleware::{Next, from_fn},
    response::IntoResponse as _,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures::StreamExt as _;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::{Notify, Semaphore},
};
use tower::util::BoxCloneSyncService;

use super::{
    bundles::Held,
    endpoint::ProducerEndpoint,
    exchange_handler::router,
    testing::{RawApi, limited_producer},
    upstream::Upstream,
};
use crate::{
    consumer::{ingress, pair::ConsumerPair, testing::consumer},
    control_plane::testing::{Answer, ControlPlane},
    testing::ends::Ends,
    wire::message::REKEY_PATH,
};

const MAX_LANES: u32 = 2;
const PATIENCE: Duration = Duration::from_secs(60);

/// A consumer with its producer.
struct Both {
    consumer: Arc<ConsumerPair>,
    producer: Arc<ProducerEndpoint>,
    held: Arc<Held>,
    /// What the producer reports.
    ledger: ControlPlane,
    /// Whether it is away for a moment.
    away: Arc<AtomicBool>,
    /// Whether the last bytes of what it is sent come late.
    late: Arc<AtomicBool>,
    /// What passes its door.
    door: Arc<Door>,
}

/// Sub-tickets and sub-receipts on their way.
#[derive(Default)]
struct Door {
    /// So many answers are lost.
    lost: AtomicUsize,
    /// Each sub-ticket, and its answer.
    seen: Mutex<Vec<(Bytes, Bytes)>>,
}

impl Both {
    async fn new(api: Router) -> Self {
        let api = BoxCloneSyncService::new(api);
        Self::before(Upstream::Here(api, Duration::from_secs(60))).await
    }

    async fn before(upstream: Upstream) -> Self {
        Self::under(Policy::default(), upstream).await
    }

    async fn with_places(api: Router, places: Arc<Semaphore>) -> Self {
        let api = BoxCloneSyncService::new(api);
        let upstream = Upstream::Here(api, Duration::from_secs(60));
        Self::made(Policy::default(), upstream, Some(places)).await
    }

    async fn under(policy: Policy, upstream: Upstream) -> Self {
        Self::made(policy, upstream, None).await
    }

    async fn made(policy: Policy, upstream: Upstream, places: Option<Arc<Semaphore>>) -> Self {
        let (ours, ledger) = (taking().await, taking().await);
        let ends = Ends::installed(4).await;
        let policy = Policy {
            max_lanes: MAX_LANES,
            // The machine may be busy.
            begin_within_ms: 10_000,
            ..policy
        };
        let (producer, held) =
            limited_producer(&ends, policy.clone(), upstream, &ledger, places).await;
        let reporter = producer.reporter.clone();
        let endpoint = producer.clone();
        tokio::spawn(reporter.run(|| Duration::from_millis(20)));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let away = Arc::new(AtomicBool::new(false));
        let late = Arc::new(AtomicBool::new(false));
        let (gone, held_up) = (away.clone(), late.clone());
        let door = Arc::new(Door::default());
        let watched = door.clone();
        let reached = from_fn(move |request: Request<Body>, next: Next| {
            let away = gone.load(Ordering::Relaxed);
            let request = match held_up.load(Ordering::Relaxed) {
                true => request.map(ending_late),
                false => request,
            };
            let door = watched.clone();
            async move {
                match (away, request.uri().path()) {
                    (true, _) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
                    (false, REKEY_PATH) => door.pass(request, next).await,
                    (false, _) => next.run(request).await,
                }
            }
        });
        let router = router(producer).layer(reached);
        tokio::spawn(async move { axum::serve(listener, router).await });
        let (consumer, _) = consumer(&ends, policy, address, &ours);
        consumer.be_patient_for(PATIENCE.as_secs(), 10_000);
        Self {
            consumer,
            producer: endpoint,
            held,
            ledger,
            away,
            late,
            door,
        }
    }

    async fn call(&self) -> Response<Body> {
        ingress::serve(&self.consumer, Request::new(Body::empty())).await
    }

    /// The consumer's answer to these bytes of a caller's, which ask it to close.
    async fn answer(&self, request: &str) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = ingress::router(self.consumer.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let mut caller = tokio::net::TcpStream::connect(address).await.unwrap();
        caller.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let answered = caller.read_to_end(&mut answer);
        tokio::time::timeout(PATIENCE, answered)
            .await
            .unwrap()
            .unwrap();
        String::from_utf8(answer).unwrap()
    }

    async fn until(&self, is: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !is(self) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap();
    }

    /// The last ticket of a lane that the producer has reported.
    fn reported(&self, lane: u16) -> Option<u64> {
        let asked = self.ledger.asked().into_iter();
        let reports = asked.filter(|one| one.path == "/v1/endpoint/reports");
        let reports = reports.flat_map(|one| one.read::<ReportExchanges>().reports);
        let reports = reports.filter(|report| report.lane == lane);
        let last = reports.map(|report| {
            let rests = STANDARD.decode(&report.rests).unwrap().len() / 32;
            report.first + (rests as u64 - 1) / 2
        });
        last.max()
    }
}

impl Door {
    async fn pass(&self, request: Request<Body>, next: Next) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let asked = body.collect().await.unwrap().to_bytes();
        let request = Request::from_parts(parts, Body::from(asked.clone()));
        let (parts, body) = next.run(request).await.into_parts();
        let answer = body.collect().await.unwrap().to_bytes();
        self.seen.lock().push((asked, answer.clone()));
        let lose = |left: usize| left.checked_sub(1);
        let order = Ordering::Relaxed;
        match self.lost.fetch_update(order, order, lose) {
            Ok(_) => StatusCode::BAD_GATEWAY.into_response(),
            Err(_) => Response::from_parts(parts, Body::from(answer)),
        }
    }
}

/// A body whose last bytes are held up.
fn ending_late(body: Body) -> Body {
    Body::from_stream(async_stream::stream! {
        let mut pieces = body.into_data_stream();
        let mut last = None;
        while let Some(piece) = pieces.next().await {
            if let Some(piece) = last.replace(piece) {
                yield piece;
            }
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        if let Some(piece) = last {
            yield piece;
        }
    })
}

/// A request that is a stream.
fn upload() -> Request<Body> {
    Request::new(Body::from_stream(async_stream::stream! {
        for _ in 0..3 {
            yield Ok::<_, std::convert::Infallible>(Bytes::from_static(b"piece"));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }))
}

/// A control plane that takes all reports.
async fn taking() -> ControlPlane {
    ControlPlane::start(|_, asked| match &asked.path[..] {
        "/v1/endpoint/reports" => {
            let sent: ReportExchanges = asked.read();
            let verdicts = vec![ReportVerdict::Accepted; sent.reports.len()];
            Answer::json(&ReportedExchanges { verdicts })
        }
        _ => Answer::Json(serde_json::Value::Null),
    })
    .await
}

/// An API whose responses break off, when they are told to.
fn breaking(off: Arc<Notify>) -> Router {
    Router::new().fallback(async move || {
        Body::from_stream(async_stream::stream! {
            yield Ok(Bytes::from_static(b"so far"));
            off.notified().await;
            yield Err(std::io::Error::other("broken"));
        })
    })
}

/// Each answer that is kept is up to 256 KiB, and a bundle has numbers for 65,536 lanes.
#[tokio::test]
async fn calls_that_the_api_breaks_off_leave_no_answers_behind() {
    let off = Arc::new(Notify::new());
    let both = Both::new(breaking(off.clone())).await;
    for _ in 0..3 * MAX_LANES {
        let response = both.call().await;
        assert_eq!(response.status(), 200);
        off.notify_one();
        assert!(response.into_body().collect().await.is_err());
    }
    let bundle = both.consumer.current().unwrap();
    bundle.quiet(PATIENCE).await;
    let kept = both.held.lanes.lock().len();
    assert!(kept <= 2 * MAX_LANES as usize, "{kept} lanes");
}

/// The ledger has it by its consumer's word, and would call it unwitnessed for ever.
#[tokio::test]
async fn a_call_that_was_given_up_while_its_producer_was_away_is_reported_by_it_later() {
    let both = Both::new(Router::new()).await;
    assert_eq!(both.call().await.status(), 404);
    both.away.store(true, Ordering::Relaxed);
    {
        let call = both.call();
        let signed = both.until(|both| both.consumer.reporter.waiting() == 5);
        tokio::select! {
            _ = call => panic!("nobody answers"),
            () = signed => {}
        }
    }
    // Its caller has left: the next ticket opens another lane.
    both.until(|both| both.consumer.reporter.waiting() == 6)
        .await;
    both.away.store(false, Ordering::Relaxed);
    // The opening was the lane's ticket 0, the first call's 1.
    both.until(|both| both.reported(0) == Some(2)).await;
}

/// A consumer goes on once it has sent the end of a request, which may come on another connection
/// than what follows it; and a stream is sent once.
#[tokio::test]
async fn a_stream_that_overtakes_the_end_of_the_one_ahead_of_it_on_its_lane_is_served() {
    let both = Both::new(Router::new().fallback(async || "at once")).await;
    assert_eq!(both.call().await.status(), 200);
    both.late.store(true, Ordering::Relaxed);
    for _ in 0..2 {
        let response = ingress::serve(&both.consumer, upload()).await;
        assert_eq!(response.status(), 200);
        // Its lane is free, though its end has not come yet.
        let bundle = both.consumer.current().unwrap();
        bundle.quiet(PATIENCE).await;
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
/// All that a handshake needs but its `Connection`.
const OFFER: &str = "GET / HTTP/1.1\r\nhost: api\r\nupgrade: websocket\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n";

/// What follows its head is the connection's bytes, and no content of it.
#[tokio::test]
async fn a_handshake_with_content_is_refused_before_the_api_sees_it() {
    let mut api = RawApi::start(|_| OK.to_owned()).await;
    let both = Both::before(api.upstream.clone()).await;
    for length in [
        "content-length: 5\r\n\r\nhello",
        "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ] {
        let request = format!("{OFFER}connection: upgrade, close\r\n{length}");
        let answer = both.answer(&request).await;
        assert!(answer.starts_with("HTTP/1.1 501 "), "{answer}");
        assert!(answer.contains("urn:armour:problem:upgrade"), "{answer}");
    }
    let next = "GET /next HTTP/1.1\r\nhost: api\r\nconnection: close\r\n\r\n";
    assert!(both.answer(next).await.starts_with("HTTP/1.1 200 "));
    assert!(api.asked().await.starts_with("get /next "));
}

/// A server ignores what the field `Connection` does not name (RFC 9110, section 7.8).
#[tokio::test]
async fn what_does_not_ask_for_an_upgrade_whole_is_served_without_it() {
    let mut api = RawApi::start(|_| OK.to_owned()).await;
    let both = Both::before(api.upstream.clone()).await;
    let asking = "connection: upgrade, close\r\n";
    for request in [
        format!("{OFFER}connection: close\r\n\r\n"),
        format!("{OFFER}{asking}\r\n").replace("sec-websocket-key", "x-key"),
        format!("{OFFER}{asking}\r\n").replace(": 13", ": 8"),
    ] {
        let answer = both.answer(&request).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let head = api.asked().await;
        assert!(!head.contains("\r\nupgrade:"), "{head}");
    }
}
