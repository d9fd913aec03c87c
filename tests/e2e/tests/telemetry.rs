//! One trace from the application through both agents to the upstream and to the ledger,
//! as a receiver of OTLP that none of us wrote sees it; and nobody on the way does.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use armour_api::{Policy, Reporting};
use armour_e2e::{
    ledger::until_reported,
    process::until,
    system::{Setup, System, brisk},
};
use mock_collector::{MockServer, Protocol, ServerHandle};

/// Made by the application; its last number says that it is recorded.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A span, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Seen {
    service: String,
    name: String,
    id: String,
    parent: String,
}

async fn spans_of(collector: &ServerHandle, trace: &str) -> HashSet<Seen> {
    collector
        .with_collector(|collector| {
            let all = collector.spans().iter();
            let of_trace = all.filter(|one| hex::encode(&one.span().trace_id) == trace);
            of_trace
                .map(|one| Seen {
                    service: format!("{:?}", one.resource_attrs())
                        .split("StringValue(\"")
                        .find_map(|rest| {
                            rest.split('"').next().filter(|v| v.starts_with("armour-"))
                        })
                        .unwrap_or_default()
                        .to_owned(),
                    name: one.span().name.clone(),
                    id: hex::encode(&one.span().span_id),
                    parent: hex::encode(&one.span().parent_span_id),
                })
                .collect()
        })
        .await
}

async fn traced(policy: Policy) {
    let collector = MockServer::builder()
        .protocol(Protocol::HttpBinary)
        .start()
        .await
        .unwrap();
    // A report of several exchanges goes on with the trace of the first, and links to those
    // of the others: this one is to be alone.
    let policy = Policy {
        empty_exchange_interval_ms: 60_000,
        ..policy
    };
    let setup = Setup {
        policy,
        collector: Some(format!("http://{}", collector.addr())),
        ..Setup::default()
    };
    let system = System::set_up(setup).await.unwrap();
    system.hop.record();

    let find = |spans: &HashSet<Seen>, service: &str, name: &str, parent: &str| {
        let is = |one: &&Seen| one.service == service && one.name == name && one.parent == parent;
        spans.iter().find(is).cloned()
    };
    let chain = [
        ("armour-agent-consumer", "armour.call"),
        ("armour-agent-producer", "armour.serve"),
        ("armour-agent-producer", "armour.upstream"),
    ];
    let to_ledger = [
        ("armour-agent-consumer", "armour.call"),
        ("armour-agent-consumer", "armour.exchange"),
        ("armour-agent-consumer", "armour.report"),
        ("armour-control-plane", "POST /v1/endpoint/reports"),
        ("armour-control-plane", "armour.ledger"),
    ];
    let holds = |spans: &HashSet<Seen>, caller: &str, chain: &[(&str, &str)]| {
        let mut parent = caller.to_owned();
        chain.iter().all(|(service, name)| {
            let found = find(spans, service, name, &parent);
            parent = found.as_ref().map(|one| one.id.clone()).unwrap_or_default();
            found.is_some()
        })
    };
    let calls = AtomicU64::new(0);
    let whole = until("a whole trace", || async {
        let caller = format!("{:016x}", 1 + calls.fetch_add(1, Ordering::Relaxed));
        let traceparent = format!("00-{TRACE}-{caller}-01");
        // What was done before is reported apart, or another call has to be traced: it may
        // have had a lane to open, or met an empty exchange.
        until_reported(&system).await.unwrap();
        let request = system.http.get(format!("{}/echo?id=traced", system.base));
        let answer = request.header("traceparent", traceparent).send().await;
        assert!(answer.unwrap().status().is_success());
        for _ in 0..100 {
            let spans = spans_of(&collector, TRACE).await;
            if holds(&spans, &caller, &chain) && holds(&spans, &caller, &to_ledger) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        false
    });
    if let Err(error) = whole.await {
        panic!("{error}: {:#?}", spans_of(&collector, TRACE).await);
    }
    // Nobody between the agents learns which trace an exchange is of.
    let wire = system.hop.recorded();
    assert!(wire.windows(8).any(|window| window == b"exchange"));
    for secret in [TRACE, "traceparent", "tracestate"] {
        let seen = wire
            .windows(secret.len())
            .any(|window| window == secret.as_bytes());
        assert!(!seen, "{secret} is visible");
    }
    // Metrics and logs arrive too.
    until("metrics and logs", || async {
        collector
            .with_collector(|collector| {
                let metric = |name: &str| collector.expect_metric_with_name(name).count() > 0;
                metric("armour_agent_calls")
                    && metric("armour_agent_tickets")
                    && metric("armour_ticket_reports")
                    && collector.expect_log_with_body("drew a bundle").count() > 0
            })
            .await
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_from_the_application_to_the_upstream_and_the_ledger() {
    traced(brisk()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_strict_reporting_as_well() {
    let policy = Policy {
        reporting: Reporting::Strict,
        ..brisk()
    };
    traced(policy).await;
}

/// What is told of a running system is JSON, line by line, and holds no payload and no key.
#[tokio::test(flavor = "multi_thread")]
async fn logs_are_json_and_hold_no_payload() {
    let setup = Setup {
        json_logs: true,
        ..Setup::default()
    };
    let system = System::set_up(setup).await.unwrap();
    let marker = "payload-marker-".repeat(20);
    system
        .put("/upload/secret-name", marker.clone().into())
        .await
        .unwrap();
    system.get("/upload/secret-name").await.unwrap();
    let keys = std::fs::read(system.folder().join("consumer/keys")).unwrap();
    for process in [
        &system.consumer,
        &system.producer,
        &system.control_planes[0],
    ] {
        let log = process.log().unwrap();
        assert!(log.lines().count() > 0);
        for line in log.lines() {
            let told: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(
                told["timestamp"].is_string() && told["level"].is_string(),
                "{line}"
            );
        }
        for secret in ["payload-marker", "secret-name", &hex::encode(&keys[..32])] {
            assert!(!log.contains(secret), "{secret} was logged");
        }
    }
}
