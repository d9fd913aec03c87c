//! Real HTTP through both agents to nginx, with curl.

use std::{process::Command, time::Duration};

use armour_api::{Policy, Reporting};
use armour_e2e::{
    process::until,
    system::{System, brisk},
};
use rand::Rng;
use rustix::process::Signal;

fn random(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_gets_back_the_bytes_it_sent_from_0_to_100_mb() {
    let system = System::start(brisk()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let sizes = [
        0,
        1,
        65_535,
        65_536,
        262_143,
        262_145,
        1_000_000,
        100_000_000,
    ];
    for size in sizes {
        let (sent, got) = (dir.path().join("sent"), dir.path().join("got"));
        std::fs::write(&sent, random(size)).unwrap();
        let url = format!("{}/upload/{size}", system.base);
        let curl = |arguments: &[&str]| {
            let output = Command::new("curl")
                .args(["-sSf", "--max-time", "600"])
                .args(arguments)
                .arg(&url)
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
        };
        curl(&["-T", sent.to_str().unwrap()]);
        curl(&["-o", got.to_str().unwrap()]);
        assert!(
            std::fs::read(&sent).unwrap() == std::fs::read(&got).unwrap_or_default(),
            "{size} bytes came back otherwise"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_calls_get_their_own_answers_and_the_wire_shows_none_of_them() {
    let system = System::start(brisk()).await.unwrap();
    system.hop.record();
    let calls = (0..64u32).map(|number| {
        let system = &system;
        async move {
            let body = random(3_000 + number as usize * 700);
            let target = format!("/upload/secret-name-{number}");
            system.put(&target, body.clone()).await.unwrap();
            assert_eq!(system.get(&target).await.unwrap(), body);
            let marker = "plain-text-marker-".repeat(50);
            let answer = system.get(&format!("/echo?id={marker}{number}")).await;
            assert_eq!(answer.unwrap(), format!("{marker}{number}").into_bytes());
        }
    });
    futures_join(calls).await;
    let wire = system.hop.recorded();
    assert!(wire.len() > 64 * 2 * 3_000, "the hop saw the traffic");
    assert!(contains(&wire, b"/armour/v2/exchange"));
    for secret in [
        "secret-name",
        "plain-text-marker",
        "/upload",
        "/echo",
        "nginx",
        "GET /",
    ] {
        assert!(!contains(&wire, secret.as_bytes()), "{secret} is visible");
    }
}

async fn futures_join<F: Future<Output = ()>>(calls: impl Iterator<Item = F>) {
    let mut pending: Vec<_> = calls.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        pending.retain_mut(|call| call.as_mut().poll(context).is_pending());
        match pending.is_empty() {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gibibyte_passes_in_64_mib_of_memory() {
    let system = System::start(brisk()).await.unwrap();
    let output = Command::new("sh")
        .arg("-c")
        .arg(format!(
            "head -c 1073741824 /dev/zero | curl -sSf --max-time 1200 -T - {0}/upload/big \
             && curl -sSf --max-time 1200 {0}/upload/big | wc -c",
            system.base
        ))
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        "1073741824",
        "{output:?}"
    );
    for agent in [&system.consumer, &system.producer] {
        let peak = agent.peak_memory().unwrap();
        assert!(peak < 64 << 20, "{peak} bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn suite_2_and_strict_reporting_work_together() {
    let policy = Policy {
        suite: 2,
        reporting: Reporting::Strict,
        ..brisk()
    };
    let system = System::start(policy).await.unwrap();
    for size in [1, 1_000, 300_000] {
        let body = random(size);
        system.put("/upload/strict", body.clone()).await.unwrap();
        assert_eq!(system.get("/upload/strict").await.unwrap(), body);
    }
    // Under strict reporting the ledger knows of an exchange before its answer.
    let bundles: armour_api::Page<armour_api::Bundle> =
        system.operator.get("/v1/bundles").await.unwrap();
    assert_eq!(bundles.items.len(), 1);
    assert!(bundles.items[0].exchanges >= 7, "{bundles:?}");
    assert_eq!(bundles.items[0].suite, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_contact_for_the_lease_agents_fail_closed_and_come_back() {
    let policy = Policy {
        lease_ms: 8_000,
        ..brisk()
    };
    let system = System::start(policy).await.unwrap();
    system.control_planes[0].signal(Signal::STOP).unwrap();
    let (mut calls, mut served) = (0, 0);
    loop {
        calls += 1;
        match system.get(&format!("/echo?id=call-{calls}-")).await {
            Ok(_) => served += 1,
            Err(error) if error.to_string().contains("lease-expired") => {
                assert!(error.to_string().contains("503"), "{error}");
                break;
            }
            // The producer's lease may have ended a little earlier.
            Err(error) => assert!(error.to_string().contains("outcome-unknown"), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(served > 0, "until the lease ends calls are served");
    system.control_planes[0].signal(Signal::CONT).unwrap();
    system.until_served().await.unwrap();
    let log = system.nginx.requests().unwrap();
    assert!(!log.contains(&format!("id=call-{calls}-")), "{log}");
    assert_eq!(system.collisions().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_lanes_send_empty_exchanges_that_the_upstream_never_sees() {
    let policy = Policy {
        empty_exchange_interval_ms: 300,
        ..brisk()
    };
    let system = System::start(policy).await.unwrap();
    let exchanges = async || {
        let bundles: armour_api::Page<armour_api::Bundle> =
            system.operator.get("/v1/bundles").await.unwrap();
        bundles.items[0].exchanges
    };
    let more = async |count: i64| {
        let enough = exchanges().await + count;
        until("empty exchanges", || async { exchanges().await >= enough })
            .await
            .unwrap();
    };
    // What was served until now is written down meanwhile.
    more(1).await;
    let served = system.nginx.requests().unwrap();
    more(3).await;
    assert_eq!(system.nginx.requests().unwrap(), served);
}

#[tokio::test(flavor = "multi_thread")]
async fn upstream_errors_are_told_apart_and_an_upgrade_that_it_declines_is_none() {
    let system = System::start(brisk()).await.unwrap();
    let missing = system.get("/no-such-file").await.unwrap_err().to_string();
    assert!(missing.contains("404"), "{missing}");
    let upgrade = system
        .http
        .get(format!("{}/", system.base))
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .send()
        .await
        .unwrap();
    assert_eq!(upgrade.status(), 200);
    assert!(!upgrade.headers().contains_key("upgrade"));
    let head = system
        .http
        .head(format!("{}/", system.base))
        .send()
        .await
        .unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(head.headers()["content-length"], "25");
    drop(system.nginx);
    let error = system
        .http
        .get(format!("{}/", system.base))
        .send()
        .await
        .unwrap();
    assert_eq!(error.status(), 502);
    let problem: serde_json::Value = serde_json::from_slice(&error.bytes().await.unwrap()).unwrap();
    assert_eq!(problem["type"], "urn:armour:problem:upstream");
}
