//! Two real enclave processes, a consumer's and a producer's, and the proxy's
//! view of them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by them")]

use armour_agent::enclave::{
    Enclave,
    ipc::{Accepted, Binding, Keyed, LaneId},
};
use armour_protocol::{
    Suite,
    bundle::{BundleContext, BundleSecret},
    envelope,
};
use ed25519_dalek::VerifyingKey;
use tokio::process::Child;

struct Ends {
    consumer: Enclave,
    producer: Enclave,
    processes: Vec<Child>,
    dir: tempfile::TempDir,
}

const LANE: LaneId = LaneId {
    bundle: [3; 16],
    lane: 0,
};

async fn ends(suite: u8) -> Ends {
    let dir = tempfile::tempdir().unwrap();
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_armour-agent"));
    let (consumer, one) = Enclave::start(program, &dir.path().join("consumer")).unwrap();
    let (producer, two) = Enclave::start(program, &dir.path().join("producer")).unwrap();
    let (consumer_key, consumer_kem) = consumer.identity().await.unwrap();
    let (producer_key, producer_kem) = producer.identity().await.unwrap();
    let binding = Binding {
        suite,
        tenant: [1; 16],
        pair: [2; 16],
        bundle: LANE.bundle,
        consumer: [4; 16],
        producer: [5; 16],
        consumer_key,
        producer_key,
    };
    let context = BundleContext {
        suite: Suite::from_u8(suite).unwrap(),
        tenant: binding.tenant,
        pair: binding.pair,
        bundle: binding.bundle,
        consumer: binding.consumer,
        producer: binding.producer,
        consumer_key: VerifyingKey::from_bytes(&consumer_key).unwrap(),
        producer_key: VerifyingKey::from_bytes(&producer_key).unwrap(),
    };
    let minted = BundleSecret::from_bytes([0xc7; 32]);
    for (enclave, kem) in [(&consumer, consumer_kem), (&producer, producer_kem)] {
        let sealed = envelope::seal(&kem, &context, &minted, &mut rand::rng()).unwrap();
        enclave
            .install(binding.clone(), sealed.clone())
            .await
            .unwrap();
        // A second time would start the lanes over, and so accept old tickets.
        assert!(
            enclave
                .install(binding.clone(), sealed)
                .await
                .unwrap_err()
                .is("installed")
        );
    }
    Ends {
        consumer,
        producer,
        processes: vec![one, two],
        dir,
    }
}

async fn accept(ends: &Ends, request: &Keyed) -> Keyed {
    match ends
        .producer
        .accept(LANE, request.head.clone())
        .await
        .unwrap()
    {
        Accepted::Next(keyed) => keyed,
        _ => panic!("not accepted"),
    }
}

#[tokio::test]
async fn both_ends_derive_the_same_keys_in_both_suites() {
    for suite in [1, 2] {
        let ends = ends(suite).await;
        let mut seen = std::collections::HashSet::new();
        for _ in 0..5 {
            let request = ends.consumer.begin(LANE, None).await.unwrap();
            assert!(
                ends.consumer
                    .begin(LANE, None)
                    .await
                    .err()
                    .unwrap()
                    .is("lane-busy")
            );
            let accepted = accept(&ends, &request).await;
            assert_eq!(*accepted.key.0, *request.key.0);
            let again = ends
                .producer
                .accept(LANE, request.head.clone())
                .await
                .unwrap();
            assert!(matches!(again, Accepted::Repeat));
            let response = ends.producer.respond(LANE, None).await.unwrap();
            let mut damaged = response.head.clone();
            *damaged.last_mut().unwrap() ^= 1;
            assert!(
                ends.consumer
                    .receive(LANE, damaged)
                    .await
                    .err()
                    .unwrap()
                    .is("commitment")
            );
            let received = ends
                .consumer
                .receive(LANE, response.head.clone())
                .await
                .unwrap();
            assert_eq!(*received.key.0, *response.key.0);
            assert!(seen.insert(*request.key.0) && seen.insert(*response.key.0));
        }
    }
}

#[tokio::test]
async fn content_is_signed_ahead_as_it_is_afterwards() {
    let ends = ends(1).await;
    let digest = [7; 32];
    let request = ends.consumer.begin(LANE, Some(digest)).await.unwrap();
    let ahead = request.signed.unwrap();
    let after = ends
        .consumer
        .sign(request.transcript, digest)
        .await
        .unwrap();
    assert_eq!((ahead.content, ahead.signature), (digest, after.to_vec()));
}

#[tokio::test]
async fn keys_survive_a_restart_and_lanes_do_not() {
    let mut ends = ends(1).await;
    let before = ends.producer.identity().await.unwrap();
    let request = ends.consumer.begin(LANE, None).await.unwrap();
    accept(&ends, &request).await;
    ends.processes[1].kill().await.unwrap();
    assert!(ends.producer.respond(LANE, None).await.is_err());
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_armour-agent"));
    let (again, _child) = Enclave::start(program, &ends.dir.path().join("producer")).unwrap();
    assert_eq!(again.identity().await.unwrap(), before);
    let error = again.accept(LANE, request.head).await.err().unwrap();
    assert!(error.is("bundle-unknown"));
}

#[tokio::test]
async fn the_enclave_gives_up_core_dumps_and_privileges() {
    let ends = ends(1).await;
    ends.consumer.identity().await.unwrap();
    let pid = ends.processes[0].id().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    assert!(core.split_whitespace().nth(4) == Some("0"), "{core}");
}
