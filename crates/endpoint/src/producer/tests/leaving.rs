//! A producer that leaves, and one that has no place for more.

use super::*;
use crate::producer::draining::Awaited;

const LONG: Duration = Duration::from_secs(600);

fn nothing(_: Awaited) {}

/// What it was refused with, and whether it ran.
async fn refusal(response: Response<Body>) -> (StatusCode, String, String) {
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let document: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let word = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
    (status, word("type"), word("ran"))
}

#[tokio::test]
async fn a_producer_serves_on_until_its_consumers_have_moved_and_then_refuses_what_comes() {
    let both = Both::new(Router::new().fallback(async || "served")).await;
    assert_eq!(both.call().await.status(), 200);
    let mut seen = Vec::new();
    let drained = both.producer.drain(LONG, |awaited| seen.push(awaited));
    let calls = async {
        // They have not heard of it yet.
        for _ in 0..3 {
            assert_eq!(both.call().await.status(), 200);
        }
    };
    let both_done = async { tokio::join!(drained, calls) };
    tokio::time::timeout(PATIENCE, both_done).await.unwrap();
    assert!(seen.iter().all(|awaited| awaited.bundles == 1));
    both.producer.quiesce(LONG).await;
    both.consumer.be_patient_for(3, 10_000);
    // Nor is it asked again, and there is no other.
    let (status, problem, ran) = refusal(both.call().await).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        (&problem[..], &ran[..]),
        ("urn:armour:problem:no-bundle", "no")
    );
    assert_eq!(both.producer.calls(), 0);
}

#[tokio::test]
async fn a_producer_whose_consumers_do_not_move_waits_no_longer_than_it_may() {
    let both = Both::new(Router::new().fallback(async || "served")).await;
    let calling = async {
        loop {
            both.call().await;
        }
    };
    let drained = both.producer.drain(Duration::from_secs(2), nothing);
    tokio::select! {
        () = drained => {}
        () = calling => {}
        () = tokio::time::sleep(PATIENCE) => panic!("it waits without an end"),
    }
    // Asked for again it has been long enough.
    let again = both.producer.drain(Duration::from_secs(2), nothing);
    assert!(tokio::time::timeout(PATIENCE, again).await.is_ok());
}

#[tokio::test]
async fn a_producer_that_is_asked_again_waits_for_nothing() {
    let both = Both::new(Router::new().fallback(async || {
        std::future::pending::<()>().await;
    }))
    .await;
    both.producer.hasten();
    let left = async {
        both.until(|both| both.producer.calls() == 1).await;
        both.producer.drain(LONG, nothing).await;
        both.producer.quiesce(LONG).await;
    };
    tokio::select! {
        left = tokio::time::timeout(PATIENCE, left) => left.unwrap(),
        _ = both.call() => panic!("nobody answers"),
    }
    assert_eq!(both.producer.calls(), 1, "it is cut by the process's end");
}

#[tokio::test]
async fn a_call_beyond_what_the_upstream_takes_at_once_is_refused_and_has_not_run() {
    let release = Arc::new(Notify::new());
    let (held, served) = (release.clone(), Arc::new(AtomicUsize::new(0)));
    let count = served.clone();
    let api = Router::new().fallback(async move || {
        count.fetch_add(1, Ordering::Relaxed);
        held.notified().await;
    });
    let both = Both::with_places(api, Arc::new(Semaphore::new(1))).await;
    both.consumer.be_patient_for(3, 10_000);
    let second = async {
        both.until(|_| served.load(Ordering::Relaxed) == 1).await;
        let refused = refusal(both.call().await).await;
        release.notify_one();
        refused
    };
    let (first, (status, problem, ran)) = tokio::join!(both.call(), second);
    assert_eq!(first.status(), 200);
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!((&problem[..], &ran[..]), ("urn:armour:problem:busy", "no"));
    assert_eq!(served.load(Ordering::Relaxed), 1);
    // Its place is free once its answer has ended.
    first.into_body().collect().await.unwrap();
    release.notify_one();
    assert_eq!(both.call().await.status(), 200);
}
