//! Two real enclave processes, a consumer's and a producer's, and the proxy's
//! view of them.

use armour_enclave::{Enclave, ipc::Accepted};

use crate::common::{LANE, accept, ends};

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
            let accepted = accept(&ends, LANE, &request).await;
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
    accept(&ends, LANE, &request).await;
    ends.processes[1].kill().await.unwrap();
    assert!(ends.producer.respond(LANE, None).await.is_err());
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_armour-agent"));
    let (again, _child) = Enclave::start(program, &ends.dir.path().join("producer")).unwrap();
    assert_eq!(again.identity().await.unwrap(), before);
    let error = again.accept(LANE, request.head).await.err().unwrap();
    assert!(error.is("bundle-unknown"));
}
