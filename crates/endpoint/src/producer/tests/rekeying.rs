//! Streams that are re-keyed while they flow, and those that must end.

use armour_protocol::v2::{body::Direction, checkpoint::Mark};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::{
    producer::{rekey_handler::rekey, rekeying::Rekeying},
    rekey_times::RekeyTimes,
    wire::problem_type::ProblemType,
};

/// The policy's least: one piece of content is more.
const PIECE: usize = 65_536;

fn often() -> Policy {
    Policy {
        rekey_bytes: PIECE as u32,
        ..Policy::default()
    }
}

fn here(api: Router) -> Upstream {
    Upstream::Here(BoxCloneSyncService::new(api), Duration::from_secs(60))
}

/// An API that sends back what it is sent.
fn echo() -> Upstream {
    let api = Router::new().fallback(async |request: Request<Body>| request.into_body());
    here(api)
}

/// An API whose response is what it is handed, on and on.
fn events() -> (Upstream, mpsc::Sender<Bytes>) {
    let (sender, events) = mpsc::channel::<Bytes>(1);
    let events = Arc::new(Mutex::new(Some(events)));
    let api = Router::new().fallback(async move || {
        let events = events.lock().take().expect("it is called once");
        Body::from_stream(ReceiverStream::new(events).map(Ok::<_, std::convert::Infallible>))
    });
    (here(api), sender)
}

/// A request whose body is sent piece by piece.
fn pieces() -> (Request<Body>, mpsc::Sender<Bytes>) {
    let (sender, pieces) = mpsc::channel(1);
    let pieces = ReceiverStream::new(pieces).map(Ok::<_, std::convert::Infallible>);
    let request = Request::post("/").body(Body::from_stream(pieces)).unwrap();
    (request, sender)
}

/// So many bytes of a body, at least.
async fn take(body: &mut Body, bytes: usize) -> Vec<u8> {
    let mut taken = Vec::new();
    while taken.len() < bytes {
        let frame = body.frame().await.expect("it goes on").unwrap();
        taken.extend_from_slice(frame.data_ref().unwrap());
    }
    taken
}

impl Both {
    /// How often the streams of a lane's last exchange were re-keyed.
    async fn rekeyed(&self, lane: u16) -> u32 {
        let exchange = self.held.lanes.lock().last(lane);
        match exchange {
            Some(exchange) => exchange.rekeying.times().await,
            None => 0,
        }
    }

    async fn until_rekeyed(&self, times: u32) {
        let waiting = async {
            while self.rekeyed(0).await < times {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap();
    }

    /// The control plane is heard of by these ends until this is dropped.
    fn heard(&self, consumer: bool, producer: bool) -> AbortOnDropHandle<()> {
        let (ours, theirs) = (self.consumer.clone(), self.producer.clone());
        let hearing = tokio::spawn(async move {
            loop {
                let now = tokio::time::Instant::now();
                if consumer {
                    ours.session.heard(now);
                }
                if producer {
                    theirs.session.heard(now);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        AbortOnDropHandle::new(hearing)
    }

    /// All that is on its way has ended, and the next call goes on the same lane.
    async fn goes_on_with_lane_0(&self, n: u64) {
        let bundle = self.consumer.current().unwrap();
        bundle.quiet(PATIENCE).await;
        let response = ingress::serve(&self.consumer, Request::new(Body::from("next"))).await;
        assert_eq!(response.status(), 200);
        drop(response.into_body().collect().await);
        let last = self.held.lanes.lock().last(0).unwrap();
        assert_eq!(last.ticket.header.n, n);
    }
}

#[tokio::test]
async fn a_stream_re_keys_both_ways_and_every_byte_is_right() {
    let both = Both::under(often(), echo()).await;
    let (request, sender) = pieces();
    let call = ingress::serve(&both.consumer, request);
    let mut sent = Vec::new();
    let piece = |number: u32| Bytes::from(vec![number as u8; PIECE + 1]);
    sender.send(piece(0)).await.unwrap();
    sent.extend_from_slice(&piece(0));
    let response = call.await;
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    let mut back = take(&mut body, sent.len()).await;
    for round in 1..4 {
        both.until_rekeyed(round).await;
        sender.send(piece(round)).await.unwrap();
        sent.extend_from_slice(&piece(round));
        back.extend(take(&mut body, sent.len() - back.len()).await);
    }
    drop(sender);
    back.extend_from_slice(&body.collect().await.unwrap().to_bytes());
    assert!(back == sent);
    both.goes_on_with_lane_0(2).await;
}

#[tokio::test]
async fn a_stream_is_not_re_keyed_where_the_policy_says_that_none_is() {
    let policy = Policy {
        rekey_interval_ms: 0,
        ..often()
    };
    let both = Both::under(policy, echo()).await;
    let (request, sender) = pieces();
    let call = ingress::serve(&both.consumer, request);
    let piece = Bytes::from(vec![7; PIECE + 1]);
    sender.send(piece.clone()).await.unwrap();
    let mut body = call.await.into_body();
    take(&mut body, piece.len()).await;
    for _ in 0..3 {
        sender.send(piece.clone()).await.unwrap();
        take(&mut body, piece.len()).await;
    }
    drop(sender);
    assert!(body.collect().await.is_ok());
    assert_eq!(both.rekeyed(0).await, 0);
    assert!(both.door.seen.lock().is_empty());
    both.goes_on_with_lane_0(2).await;
}

/// No consumer that is alone signs one there.
#[tokio::test]
async fn a_sub_ticket_where_the_policy_re_keys_none_is_not_answered_but_reported() {
    let policy = Policy {
        rekey_interval_ms: 0,
        ..often()
    };
    let both = Both::under(policy, echo()).await;
    let (request, sender) = pieces();
    let call = ingress::serve(&both.consumer, request);
    let piece = Bytes::from(vec![7; PIECE + 1]);
    sender.send(piece.clone()).await.unwrap();
    let mut body = call.await.into_body();
    take(&mut body, piece.len()).await;
    let bundle = both.consumer.current().unwrap();
    let (lane, peer) = (bundle.lane_id(0), Mark::NONE.to_bytes().to_vec());
    let head = both.consumer.enclave.sub_ticket(lane, peer).await.unwrap();
    let frame = bundle.gate.frame(Direction::Request, &head);
    let request = Request::post("/").body(Body::from(frame)).unwrap();
    let refused = rekey(&both.producer, request).await.err().unwrap();
    assert_eq!(refused.problem, ProblemType::TicketElsewhere);
    let reported = |both: &Both| {
        let asked = both.ledger.asked().into_iter();
        let reports = asked.filter(|one| one.path == "/v1/endpoint/reports");
        let mut reports = reports.flat_map(|one| one.read::<ReportExchanges>().reports);
        reports.any(|report| report.exchange.is_some())
    };
    both.until(reported).await;
}

/// Its policy has every consumer re-key: one that does not may be a copy that is silent.
#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_re_keyed_in_its_time_is_overdue_though_it_never_was() {
    let rekeying = Rekeying::default();
    let times = RekeyTimes::of(&Policy::default()).unwrap();
    let within = |limit| tokio::time::timeout(limit, rekeying.overdue(Some(times)));
    let before = within(times.patience() * 2).await;
    assert!(before.is_err(), "nothing has begun");
    rekeying.begins();
    let early = within(times.patience() - Duration::from_secs(1)).await;
    assert!(early.is_err(), "it has time");
    assert!(within(Duration::from_secs(2)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn no_stream_is_overdue_where_the_policy_re_keys_none() {
    let rekeying = Rekeying::default();
    rekeying.begins();
    let overdue = tokio::time::timeout(Duration::from_secs(100_000), rekeying.overdue(None));
    assert!(overdue.await.is_err(), "it is ended");
}

/// A download of a day, or events.
#[tokio::test]
async fn a_response_re_keys_though_its_request_has_ended_long_ago_and_nothing_flows() {
    let (api, sender) = events();
    let policy = Policy {
        rekey_interval_ms: 300,
        ..Policy::default()
    };
    let both = Both::under(policy, api).await;
    let call = both.call();
    sender.send(Bytes::from_static(b"one")).await.unwrap();
    let mut body = call.await.into_body();
    assert_eq!(take(&mut body, 3).await, b"one");
    both.until_rekeyed(3).await;
    sender.send(Bytes::from_static(b"two")).await.unwrap();
    assert_eq!(take(&mut body, 3).await, b"two");
    drop(sender);
    assert!(body.collect().await.unwrap().to_bytes().is_empty());
    let bundle = both.consumer.current().unwrap();
    bundle.quiet(PATIENCE).await;
    assert_eq!(bundle.busy(), 0);
}

/// An API that answers once it has all.
#[tokio::test]
async fn a_request_re_keys_before_its_answer_begins() {
    let api = Router::new().fallback(async |body: Bytes| body);
    let both = Both::under(often(), here(api)).await;
    let (request, sender) = pieces();
    let call = ingress::serve(&both.consumer, request);
    let sending = async {
        for round in 0..3u32 {
            both.until_rekeyed(round).await;
            let piece = vec![round as u8; PIECE + 1];
            sender.send(Bytes::from(piece)).await.unwrap();
        }
        both.until_rekeyed(3).await;
        drop(sender);
    };
    let (response, ()) = tokio::join!(call, sending);
    let back = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(back.len(), 3 * (PIECE + 1));
    both.goes_on_with_lane_0(2).await;
}

#[tokio::test]
async fn a_sub_receipt_that_is_lost_comes_again_byte_for_byte() {
    let both = Both::under(often(), echo()).await;
    both.door.lost.store(2, Ordering::Relaxed);
    let (request, sender) = pieces();
    let call = ingress::serve(&both.consumer, request);
    let piece = Bytes::from(vec![7; PIECE + 1]);
    sender.send(piece.clone()).await.unwrap();
    let mut body = call.await.into_body();
    take(&mut body, piece.len()).await;
    both.until(|both| both.door.seen.lock().len() >= 3).await;
    drop(sender);
    assert!(body.collect().await.is_ok());
    both.goes_on_with_lane_0(2).await;
    let seen = both.door.seen.lock();
    let (asked, answer) = &seen[0];
    assert!(
        seen[..3]
            .iter()
            .all(|one| one.0 == asked && one.1 == answer)
    );
    assert!(answer.len() > 100, "it is an answer");
}

/// What is sealed under the last key may be read by whoever has that; its owner never stops to
/// believe that the other end has the next one.
#[tokio::test]
async fn a_stream_whose_sub_ticket_is_not_answered_is_ended_and_its_lane_replaced() {
    let policy = Policy {
        rekey_interval_ms: 1_000,
        ..often()
    };
    let both = Both::under(policy, echo()).await;
    both.door.lost.store(usize::MAX, Ordering::Relaxed);
    let (request, sender) = pieces();
    let call = ingress::serve(&both.consumer, request);
    sender.send(Bytes::from_static(b"first")).await.unwrap();
    let mut body = call.await.into_body();
    assert_eq!(take(&mut body, 5).await, b"first");
    // Enough to be re-keyed.
    sender.send(Bytes::from(vec![7; PIECE + 1])).await.unwrap();
    // The limit is 10 s: twice the interval is more.
    let ended = tokio::time::timeout(PATIENCE * 2, body.collect()).await;
    assert!(ended.expect("it goes on").is_err());
    both.door.lost.store(0, Ordering::Relaxed);
    let bundle = both.consumer.current().unwrap();
    bundle.quiet(PATIENCE).await;
    let response = ingress::serve(&both.consumer, Request::new(Body::from("next"))).await;
    assert_eq!(response.status(), 200);
    // No ticket follows on its lane.
    let last = both.held.lanes.lock().last(0);
    assert!(last.is_none_or(|last| last.ticket.header.n == 1));
}

const LEASE: Duration = Duration::from_secs(3);

fn leased() -> Policy {
    Policy {
        lease_ms: LEASE.as_millis() as u32,
        ..Policy::default()
    }
}

#[tokio::test]
async fn a_stream_goes_on_without_the_control_plane_for_as_long_as_its_lease() {
    let (api, sender) = events();
    let both = Both::under(leased(), api).await;
    let hearing = both.heard(true, true);
    let call = both.call();
    sender.send(Bytes::from_static(b"one")).await.unwrap();
    let mut body = call.await.into_body();
    take(&mut body, 3).await;
    tokio::time::sleep(LEASE + LEASE / 2).await;
    let away = tokio::time::Instant::now();
    drop(hearing);
    sender.send(Bytes::from_static(b"two")).await.unwrap();
    assert_eq!(take(&mut body, 3).await, b"two");
    let ended = tokio::time::timeout(PATIENCE, body.frame()).await;
    assert!(matches!(ended, Ok(Some(Err(_)))), "it is cut, not ended");
    assert!(
        away.elapsed() + Duration::from_millis(20) >= LEASE,
        "it is cut too early"
    );
}

#[tokio::test]
async fn a_producer_without_its_control_plane_says_that_it_has_ended_a_request() {
    let begun = Arc::new(Notify::new());
    let calls = begun.clone();
    let api = Router::new().fallback(async move |request: Request<Body>| {
        calls.notify_one();
        drop(request.into_body().collect().await);
    });
    let both = Both::under(leased(), here(api)).await;
    let _ours = both.heard(true, false);
    let theirs = both.heard(false, true);
    let (request, sender) = pieces();
    let call = ingress::serve(&both.consumer, request);
    let away = async {
        sender.send(Bytes::from_static(b"one")).await.unwrap();
        begun.notified().await;
        drop(theirs);
    };
    let both_done = async { tokio::join!(call, away) };
    let (response, ()) = tokio::time::timeout(PATIENCE, both_done).await.unwrap();
    assert_eq!(response.status(), 502);
    let problem = response.into_body().collect().await.unwrap().to_bytes();
    let problem: serde_json::Value = serde_json::from_slice(&problem).unwrap();
    let name = "urn:armour:problem:stream-lease-expired";
    assert_eq!(
        (&problem["type"], &problem["ran"]),
        (&name.into(), &"unknown".into())
    );
    drop(sender);
}
