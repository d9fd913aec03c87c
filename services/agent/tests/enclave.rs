//! Two real enclave processes, a consumer's and a producer's, and the proxy's
//! view of them.

use armour_enclave::{Enclave, ipc::Accepted};
use armour_protocol::v2::content::{DigestKind, Padding};
use armour_protocol::v2::proxy::WholeContent;

use crate::common::{BUNDLE, by, ends, exchange, lane, open, refuse};

#[tokio::test]
async fn content_goes_both_ways_in_every_suite() {
    for suite in [1, 2, 3] {
        let ends = ends(suite).await;
        let lane = lane(open(&ends).await);
        let mut seen = std::collections::HashSet::new();
        for round in 0..5u8 {
            let spent = exchange(&ends, lane, &[round; 3], &[round; 9]).await;
            assert!(seen.insert(spent.request) && seen.insert(spent.response));
        }
        refuse(&ends, lane).await;
        exchange(&ends, lane, b"after", b"a refusal").await;
    }
}

/// Nothing is sealed on a lane whose opening the producer's signature has not concluded.
#[tokio::test]
async fn p0_a_lane_that_is_not_open_seals_nothing() {
    let ends = ends(1).await;
    let (number, head) = ends.consumer.open(BUNDLE, None).await.unwrap();
    let whole = WholeContent::new(b"secret", DigestKind::Sha256, Padding::None).unwrap();
    let claim = whole.claim().to_bytes().to_vec();
    let begun = ends
        .consumer
        .begin(lane(number), claim.clone(), by(1_000))
        .await;
    assert!(begun.is_err());
    let accepted = ends.producer.accept(lane(number), head).await.unwrap();
    let Accepted::Answered { mut receipt, .. } = accepted else {
        panic!("not answered");
    };
    // Whoever knows the minted secret alone cannot sign.
    *receipt.last_mut().unwrap() ^= 1;
    assert!(ends.consumer.receive(lane(number), receipt).await.is_err());
    let begun = ends.consumer.begin(lane(number), claim, by(1_000)).await;
    assert!(begun.is_err());
}

#[tokio::test]
async fn p4_lanes_beyond_the_policys_are_refused_by_the_producer() {
    let ends = ends(1).await;
    for _ in 0..4 {
        open(&ends).await;
    }
    assert!(ends.consumer.open(BUNDLE, None).await.is_err());
    // A lane that was given up makes room for another at both ends.
    ends.consumer.give_up(lane(0)).await.unwrap();
    let (number, head) = ends.consumer.open(BUNDLE, Some(0)).await.unwrap();
    let accepted = ends.producer.accept(lane(number), head).await.unwrap();
    assert!(matches!(
        accepted,
        Accepted::Answered { ended: Some(0), .. }
    ));
}

#[tokio::test]
async fn keys_survive_a_restart_and_lanes_do_not() {
    let mut ends = ends(1).await;
    let number = open(&ends).await;
    let before = ends.producer.identity().await.unwrap();
    let whole = WholeContent::new(b"lost", DigestKind::Sha256, Padding::None).unwrap();
    let claim = whole.claim().to_bytes().to_vec();
    let begun = ends.consumer.begin(lane(number), claim, by(1_000)).await;
    ends.processes[1].kill().await.unwrap();
    let head = begun.unwrap().head;
    assert!(
        ends.producer
            .accept(lane(number), head.clone())
            .await
            .is_err()
    );
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_armour-agent"));
    let keys = ends.dir.path().join("producer");
    let (again, _child) = Enclave::start(program, &keys, None).unwrap();
    assert_eq!(again.identity().await.unwrap(), before);
    assert!(again.accept(lane(number), head).await.is_err());
}

#[tokio::test]
async fn pins_are_read_before_the_enclave_shuts_itself_away() {
    let dir = tempfile::tempdir().unwrap();
    let pins = dir.path().join("pins");
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_armour-agent"));
    let start = |text: &str| {
        std::fs::write(&pins, text).unwrap();
        Enclave::start(program, &dir.path().join("keys"), Some(&pins)).unwrap()
    };
    let id = "00000000-0000-0000-0000-000000000001";
    let key = "iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w=";
    let pin = format!(r#"{{"pins":[{{"tenant":"{id}","party":"{id}","key":"{key}"}}]}}"#);
    let (good, _child) = start(&pin);
    assert!(good.identity().await.is_ok());
    for wrong in ["{}", r#"{"pins":[]}"#] {
        let (wrong, mut child) = start(wrong);
        assert!(wrong.identity().await.is_err());
        assert!(!child.wait().await.unwrap().success());
    }
}

/// The sandbox allows what the rest of the calls needs.
#[tokio::test]
async fn every_call_is_answered_within_the_sandbox() {
    let ends = ends(1).await;
    let lane = lane(open(&ends).await);
    let consumer = &ends.consumer;
    consumer.log_head(vec![1; 178]).await.unwrap();
    consumer.present([9; 32]).await.unwrap();
    assert!(!consumer.renew().await.unwrap().is_empty());
    let busy = consumer.link(1, Vec::new()).await.unwrap_err();
    assert!(busy.is("link-in-flight"), "{busy}");
    exchange(&ends, lane, b"ask", b"answer").await;
    assert!(!consumer.last_receipt(lane).await.unwrap().is_empty());
    // As long as what one link may hold.
    let long = consumer.link(5, vec![0; 4 << 20]).await;
    assert!(long.is_err_and(|error| error.is("malformed")));
    consumer.give_up(lane).await.unwrap();
    let marks = consumer.retire(BUNDLE).await.unwrap();
    assert_eq!((marks[0].lane, marks[0].n), (lane.lane, 1));
}
