//! A consumer with several producers, some of which fail: who is called, and that nothing runs
//! twice that must not.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use armour_api::{Policy, ReportExchanges, ReportVerdict, ReportedExchanges};
use axum::{
    Router,
    body::Body,
    middleware::{Next, from_fn},
};
use futures::future::join_all;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};
use tower::util::BoxCloneSyncService;

use crate::{
    consumer::{ingress, pair::ConsumerPair, testing::consumer_of, trouble::Trouble},
    control_plane::testing::{Answer, ControlPlane},
    producer::{
        endpoint::ProducerEndpoint,
        exchange_handler,
        testing::producer,
        upstream::{Manner, Server, Upstream},
    },
    testing::ends::Ends,
    wire::http_client::Trust,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// What a producer's API does with a call.
#[derive(Clone, Copy)]
enum Api {
    /// It answers.
    Answers,
    /// It answers after this time.
    After(Duration),
    /// It fails at once.
    Fails,
    /// Nothing listens there.
    Gone,
}

/// One of the producers.
struct Peer {
    endpoint: Arc<ProducerEndpoint>,
    way: Way,
    /// Whether what it is sent comes to nothing, while somebody answers whatever else is asked.
    swallowed: Arc<AtomicBool>,
}

/// A consumer with its producers, and what the API has seen.
struct Fleet {
    consumer: Arc<ConsumerPair>,
    peers: Vec<Peer>,
    ran: Ran,
}

/// By path: which producers' APIs have run it.
type Ran = Arc<Mutex<HashMap<String, Vec<usize>>>>;

impl Fleet {
    async fn new(apis: &[Api]) -> Self {
        // The machine may be busy.
        Self::within(apis, 10_000).await
    }

    async fn within(apis: &[Api], begin_within_ms: u32) -> Self {
        let ledger = taking().await;
        let policy = Policy {
            begin_within_ms,
            ..Policy::default()
        };
        let ran = Ran::default();
        let count = u8::try_from(apis.len()).unwrap();
        let all = Ends::several(count, 64).await;
        let mut peers = Vec::new();
        for (number, (ends, api)) in all.iter().zip(apis).enumerate() {
            let upstream = upstream(number, *api, ran.clone()).await;
            let (endpoint, _) = producer(ends, policy.clone(), upstream, &ledger).await;
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            let swallowed = Arc::<AtomicBool>::default();
            let is_swallowed = swallowed.clone();
            let swallow = from_fn(move |request: Request<Body>, next: Next| {
                let holds = is_swallowed.load(Ordering::Relaxed);
                async move {
                    match holds && request.method() == Method::POST {
                        true => std::future::pending().await,
                        false => next.run(request).await,
                    }
                }
            });
            let router = exchange_handler::router(endpoint.clone()).layer(swallow);
            tokio::spawn(async move { axum::serve(listener, router).await });
            let way = Way::to(address).await;
            peers.push(Peer {
                endpoint,
                way,
                swallowed,
            });
        }
        let producers: Vec<_> = all
            .iter()
            .zip(&peers)
            .map(|(ends, peer)| (ends, peer.way.base.clone()))
            .collect();
        let consumer = consumer_of(&producers, policy, &ledger);
        consumer.be_patient_for(PATIENCE.as_secs(), 10_000);
        Self {
            consumer,
            peers,
            ran,
        }
    }

    /// What comes of a call: the status, and what the document says of whether it ran.
    async fn call(&self, method: Method, path: String) -> (StatusCode, String) {
        let request = Request::builder().method(method).uri(path);
        let request = request.body(Body::empty()).unwrap();
        let response = tokio::time::timeout(PATIENCE, ingress::serve(&self.consumer, request));
        let response = response.await.expect("it waits without an end");
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    /// Calls of one method, all at once.
    async fn calls(&self, method: &Method, count: usize, name: &str) -> Vec<(StatusCode, String)> {
        let calls = (0..count).map(|n| self.call(method.clone(), format!("/{name}/{n}")));
        join_all(calls).await
    }

    /// How many calls each API has run whose path begins with this, and whether any ran twice.
    fn ran(&self, name: &str) -> (Vec<usize>, bool) {
        let mut each = vec![0; self.peers.len()];
        let mut twice = false;
        for (path, at) in self.ran.lock().iter() {
            if path.starts_with(&format!("/{name}/")) {
                twice |= at.len() > 1;
                at.iter().for_each(|&at| each[at] += 1);
            }
        }
        (each, twice)
    }

    async fn until(&self, is: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !is(self) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap();
    }

    fn trouble(&self, at: usize) -> Option<Trouble> {
        self.consumer.serving()[at].standing.trouble()
    }
}

/// The way to a producer, which can be cut or frozen.
struct Way {
    base: String,
    frozen: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Way {
    async fn to(address: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let frozen = watch::Sender::new(false);
        let freezing = frozen.clone();
        // Connections end with the task.
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(&address).await.unwrap();
                let (near_read, near_write) = near.into_split();
                let (far_read, far_write) = far.into_split();
                connections.spawn(carry(near_read, far_write, freezing.subscribe()));
                connections.spawn(carry(far_read, near_write, freezing.subscribe()));
            }
        });
        Self { base, frozen, task }
    }

    /// Whatever listened there is killed.
    fn kill(&self) {
        self.task.abort();
    }

    fn freeze(&self, freeze: bool) {
        self.frozen.send_replace(freeze);
    }
}

async fn carry(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut frozen: watch::Receiver<bool>,
) {
    let mut piece = vec![0; 16_384];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        if frozen.wait_for(|frozen| !frozen).await.is_err() {
            return;
        }
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}

async fn upstream(number: usize, api: Api, ran: Ran) -> Upstream {
    if matches!(api, Api::Gone) {
        let manner = Manner {
            http2: false,
            title_case_fields: false,
            timeout: PATIENCE,
        };
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", closed.local_addr().unwrap());
        let server = Server::new(&base, manner, &Trust::new(None).unwrap()).unwrap();
        return Upstream::Server(Arc::new(server));
    }
    let router = Router::new().fallback(async move |uri: Uri| {
        let path = uri.path().to_owned();
        ran.lock().entry(path).or_default().push(number);
        match api {
            Api::Fails => return StatusCode::INTERNAL_SERVER_ERROR,
            Api::After(time) => tokio::time::sleep(time).await,
            Api::Answers | Api::Gone => {}
        }
        StatusCode::OK
    });
    Upstream::Here(BoxCloneSyncService::new(router), PATIENCE)
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

const ALL_WELL: [Api; 3] = [Api::Answers; 3];

fn are_ok(outcomes: &[(StatusCode, String)]) -> bool {
    outcomes.iter().all(|(status, _)| status.is_success())
}

#[tokio::test]
async fn calls_are_spread_over_all_producers() {
    let fleet = Fleet::new(&ALL_WELL).await;
    for n in 0..300 {
        let (status, body) = fleet.call(Method::POST, format!("/spread/{n}")).await;
        assert_eq!(status, 200, "{body}");
    }
    let (each, twice) = fleet.ran("spread");
    assert!(!twice);
    assert!(
        each.iter().all(|share| (50..200).contains(share)),
        "{each:?}"
    );
}

#[tokio::test]
async fn no_safe_call_fails_when_a_producer_is_killed_and_no_other_runs_twice() {
    let fleet = Fleet::new(&[Api::After(Duration::from_millis(300)); 3]).await;
    assert!(are_ok(&fleet.calls(&Method::GET, 12, "before").await));
    let killing = async {
        // The calls under way are spread over all of them.
        fleet
            .until(|fleet| {
                let under_way = |name| fleet.ran(name).0[0];
                under_way("safe") > 0 && under_way("other") > 0
            })
            .await;
        fleet.peers[0].way.kill();
    };
    let ((), safe, other) = tokio::join!(
        killing,
        fleet.calls(&Method::GET, 30, "safe"),
        fleet.calls(&Method::POST, 30, "other"),
    );
    assert!(are_ok(&safe), "{safe:?}");
    for (status, body) in &other {
        assert!(
            status.is_success() || body.contains(r#""ran":"unknown""#),
            "{status} {body}"
        );
    }
    assert!(other.iter().any(|(status, _)| !status.is_success()));
    assert!(!fleet.ran("other").1);
    let after = fleet.calls(&Method::POST, 20, "after").await;
    assert!(are_ok(&after), "{after:?}");
    let (each, twice) = fleet.ran("after");
    assert!(each[0] == 0 && !twice);
    assert_eq!(fleet.trouble(0), Some(Trouble::Refused));
}

#[tokio::test]
async fn a_producer_that_is_frozen_is_left_out_until_it_answers_again() {
    let fleet = Fleet::new(&ALL_WELL).await;
    assert!(are_ok(&fleet.calls(&Method::GET, 12, "before").await));
    fleet.peers[1].way.freeze(true);
    let frozen = async {
        fleet
            .until(|fleet| fleet.trouble(1) == Some(Trouble::Silent))
            .await;
        let after = fleet.calls(&Method::POST, 20, "after").await;
        assert!(are_ok(&after), "{after:?}");
        // None of them was at the frozen one, which would have them wait.
        fleet.peers[1].way.freeze(false);
    };
    let ((), safe, other) = tokio::join!(
        frozen,
        fleet.calls(&Method::GET, 12, "safe"),
        fleet.calls(&Method::POST, 12, "other"),
    );
    assert!(are_ok(&safe), "{safe:?}");
    // Those that were at the frozen one are answered by it, once it goes on.
    assert!(are_ok(&other), "{other:?}");
    assert!(!fleet.ran("other").1 && !fleet.ran("after").1);
    fleet.until(|fleet| fleet.trouble(1).is_none()).await;
}

/// Its callers would wait for as long as the agent tries for them.
#[tokio::test]
async fn calls_at_a_producer_that_has_fallen_silent_are_told_so_while_it_is() {
    let fleet = Fleet::within(&ALL_WELL, 1_000).await;
    // Lanes are open: what opens one goes elsewhere, whatever it is.
    assert!(are_ok(&fleet.calls(&Method::GET, 40, "before").await));
    fleet.peers[1].way.freeze(true);
    let (other, safe) = tokio::join!(
        fleet.calls(&Method::POST, 12, "other"),
        fleet.calls(&Method::GET, 12, "safe"),
    );
    assert!(are_ok(&safe), "{safe:?}");
    let (answered, told): (Vec<_>, Vec<_>) =
        other.iter().partition(|(status, _)| status.is_success());
    assert!(!answered.is_empty() && !told.is_empty(), "{other:?}");
    for (_, body) in told {
        let is_unknown = body.contains("outcome-unknown") && body.contains(r#""ran":"unknown""#);
        assert!(is_unknown, "{body}");
    }
    assert!(!fleet.ran("other").1);
}

/// Too many are made again already: their own answers are a moment away.
#[tokio::test]
async fn calls_that_may_not_be_made_again_wait_for_a_producer_that_stands_still() {
    let fleet = Fleet::new(&ALL_WELL).await;
    assert!(are_ok(&fleet.calls(&Method::GET, 40, "before").await));
    while fleet.consumer.retries.permit().is_some() {}
    fleet.peers[1].way.freeze(true);
    let standing_still = async {
        fleet
            .until(|fleet| fleet.trouble(1) == Some(Trouble::Silent))
            .await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        fleet.peers[1].way.freeze(false);
    };
    let ((), safe) = tokio::join!(standing_still, fleet.calls(&Method::GET, 12, "safe"));
    assert!(are_ok(&safe), "{safe:?}");
    assert!(!fleet.ran("safe").1, "none was made again");
}

/// Nobody signs an answer to a probe.
#[tokio::test]
async fn who_answers_probes_and_swallows_calls_does_not_hold_them() {
    let fleet = Fleet::within(&ALL_WELL, 1_000).await;
    assert!(are_ok(&fleet.calls(&Method::GET, 12, "before").await));
    fleet.peers[1].swallowed.store(true, Ordering::Relaxed);
    let left_out = fleet.until(|fleet| fleet.trouble(1) == Some(Trouble::Lost));
    let (safe, ()) = tokio::join!(fleet.calls(&Method::GET, 12, "safe"), left_out);
    assert!(are_ok(&safe), "{safe:?}");
}

#[tokio::test]
async fn calls_that_a_producer_refuses_for_its_api_run_elsewhere_whatever_they_are() {
    let fleet = Fleet::new(&[Api::Gone, Api::Answers, Api::Answers]).await;
    for method in [Method::GET, Method::POST, Method::DELETE] {
        for n in 0..40 {
            let path = format!("/{}/{n}", method.as_str().to_lowercase());
            let (status, body) = fleet.call(method.clone(), path).await;
            assert_eq!(status, 200, "{body}");
        }
    }
    for name in ["get", "post", "delete"] {
        let (each, twice) = fleet.ran(name);
        assert_eq!((each[0], each[1] + each[2], twice), (0, 40, false));
    }
}

#[tokio::test]
async fn an_api_that_fails_at_once_attracts_nothing() {
    let fleet = Fleet::new(&[Api::Fails, Api::Answers, Api::Answers]).await;
    let mut failed = 0;
    for n in 0..200 {
        let (status, _) = fleet.call(Method::POST, format!("/failing/{n}")).await;
        failed += usize::from(status == 500);
    }
    let (each, twice) = fleet.ran("failing");
    assert!(!twice);
    assert_eq!(each[0], failed);
    assert!(failed <= 6, "{failed} of 200");
}

#[tokio::test]
async fn calls_leave_a_producer_that_drains_and_none_fails() {
    let fleet = Fleet::new(&[Api::After(Duration::from_millis(50)); 3]).await;
    assert!(are_ok(&fleet.calls(&Method::POST, 12, "before").await));
    let draining = async {
        fleet.until(|fleet| fleet.ran("meanwhile").0[2] > 0).await;
        fleet.peers[2].endpoint.quiesce(PATIENCE).await;
    };
    let ((), meanwhile) = tokio::join!(draining, fleet.calls(&Method::POST, 30, "meanwhile"));
    assert!(are_ok(&meanwhile), "{meanwhile:?}");
    for n in 0..40 {
        let (status, body) = fleet.call(Method::POST, format!("/after/{n}")).await;
        assert_eq!(status, 200, "{body}");
    }
    let (each, twice) = fleet.ran("after");
    assert_eq!(
        (each[2], twice, fleet.ran("meanwhile").1),
        (0, false, false)
    );
}

/// One producer that fails is better than none.
#[tokio::test]
async fn where_all_fail_calls_are_told_so_and_not_made_again() {
    let fleet = Fleet::new(&[Api::Fails, Api::Fails]).await;
    let failing = fleet.calls(&Method::GET, 10, "failing").await;
    assert!(failing.iter().all(|(status, _)| *status == 500));
    let (each, twice) = fleet.ran("failing");
    assert_eq!((each[0] + each[1], twice), (10, false));
}
