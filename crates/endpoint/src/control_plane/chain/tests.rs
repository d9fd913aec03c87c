//! Chains of links, against a control plane that answers as each test says.

use std::{sync::Arc, time::Duration};

use armour_api::{LinkAnswer, LinkOutcome, StartAccepted};
use armour_protocol::v2::identity::{
    body::{Disowned, LinkBody, LinkKind, Retirement},
    mark::{LinkHash, LinkMark},
};
use chrono::DateTime;

use super::{Chain, ChainClient, LinkError};
use crate::control_plane::{
    ended::Ended,
    testing::{Answer, Asked, ControlPlane, OWN, TestEnclave, head, taken},
};

/// A chain, and the control plane that it goes to.
async fn chain(
    answer: impl FnMut(usize, &Asked) -> Answer + Send + 'static,
) -> (ChainClient, ControlPlane, Arc<TestEnclave>) {
    let control_plane = ControlPlane::start(answer).await;
    let (enclave, announcement) = TestEnclave::started();
    let chain = ChainClient::begin(Chain {
        client: control_plane.client.clone(),
        signer: enclave.clone(),
        announcement,
    });
    (chain, control_plane, enclave)
}

fn done(asked: &Asked) -> Answer {
    Answer::json(&taken(&asked.link(), LinkOutcome::Done))
}

fn beat(text: &str) -> LinkBody {
    LinkBody::Heartbeat(text.into())
}

#[tokio::test(start_paused = true)]
async fn the_same_bytes_are_sent_again_after_a_lost_answer() {
    let (chain, control_plane, _) = chain(|before, asked| match before {
        0 => Answer::Lost,
        1 => Answer::Problem("unavailable", 503),
        _ => done(asked),
    })
    .await;
    let answered = chain.link(beat("one")).await.unwrap();
    assert_eq!(answered.outcome, LinkOutcome::Done);
    let asked = control_plane.asked();
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|one| one.path == "/v1/endpoint/links"));
    assert!(asked.iter().all(|one| one.body == asked[0].body));
    chain.link(beat("two")).await.unwrap();
    let next = control_plane.asked()[3].link();
    assert_eq!(next.head().k(), 2);
    assert_eq!(next.head().previous(), asked[0].link().mark().hash);
}

#[tokio::test(start_paused = true)]
async fn an_answer_about_an_earlier_link_concludes_nothing() {
    let (chain, control_plane, _) = chain(|before, asked| match before {
        0 => {
            let before = LinkMark {
                k: 0,
                hash: asked.link().head().previous(),
            };
            Answer::json(&LinkAnswer {
                head: head(before),
                ended: false,
                outcome: None,
            })
        }
        _ => done(asked),
    })
    .await;
    chain.link(beat("one")).await.unwrap();
    let asked = control_plane.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].body, asked[1].body);
}

#[tokio::test(start_paused = true)]
async fn a_foreign_head_is_disowned() {
    let foreign = LinkMark {
        k: 5,
        hash: LinkHash([9; 32]),
    };
    let (chain, control_plane, _) = chain(move |before, asked| match before {
        0 => Answer::json(&LinkAnswer {
            head: head(foreign),
            ended: false,
            outcome: None,
        }),
        // The word for it may be lost as well.
        1 => Answer::Lost,
        _ => Answer::json(&LinkAnswer {
            ended: true,
            ..taken(&asked.link(), LinkOutcome::Done)
        }),
    })
    .await;
    let refused = chain.link(beat("one")).await;
    assert_eq!(refused.unwrap_err(), LinkError::Ended(Ended::Collided));
    assert_eq!(chain.ended().await, Ended::Collided);
    let asked = control_plane.asked();
    let disowning = asked[1].link();
    let disowned = LinkBody::Disown(vec![Disowned::Link(foreign)]);
    assert_eq!(*disowning.body(), disowned);
    // It follows the link that was in flight: nothing is signed twice at one place.
    assert_eq!(disowning.head().previous(), asked[0].link().mark().hash);
    assert_eq!(asked[1].body, asked[2].body);
    assert!(chain.link(beat("two")).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_link_whose_caller_went_away_is_concluded() {
    let (chain, control_plane, _) = chain(|before, asked| match before {
        0..20 => Answer::Lost,
        _ => done(asked),
    })
    .await;
    let gave_up = tokio::time::timeout(Duration::from_millis(200), chain.link(beat("one")));
    assert!(gave_up.await.is_err());
    chain.link(beat("two")).await.unwrap();
    let asked = control_plane.asked();
    assert_eq!(asked.len(), 22);
    assert_eq!(asked[20].body, asked[0].body);
    assert_eq!(asked[21].link().head().k(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_the_control_plane_has_lost_is_announced_again() {
    let (chain, control_plane, _) = chain(|before, asked| match before {
        0 => Answer::Problem("not-this-chain", 409),
        1 => Answer::json(&StartAccepted {
            endpoint_id: OWN.id,
            counter: 1,
            server_time: DateTime::UNIX_EPOCH,
        }),
        _ => done(asked),
    })
    .await;
    chain.link(beat("one")).await.unwrap();
    let asked = control_plane.asked();
    let paths: Vec<_> = asked.iter().map(|one| &one.path[..]).collect();
    let (link, start) = ("/v1/endpoint/links", "/v1/endpoint/starts");
    assert_eq!(paths, [link, start, link]);
    assert_eq!(asked[0].body, asked[2].body);
}

#[tokio::test(start_paused = true)]
async fn renewals_that_the_control_plane_has_lost_come_before_the_link_in_flight() {
    let (chain, control_plane, _) = chain(|before, asked| match before {
        // Two links are taken, and lost with a standby's take-over.
        2 => Answer::json(&LinkAnswer {
            head: head(LinkMark {
                k: 0,
                hash: LinkHash([0; 32]),
            }),
            ended: false,
            outcome: None,
        }),
        _ => done(asked),
    })
    .await;
    chain.link(beat("one")).await.unwrap();
    chain.renew().await.unwrap();
    chain.link(beat("three")).await.unwrap();
    let numbers: Vec<_> = control_plane
        .asked()
        .iter()
        .map(|one| (one.link().head().k(), one.link().head().kind()))
        .collect();
    let (beat, renew) = (LinkKind::Heartbeat, LinkKind::Renew);
    assert_eq!(
        numbers,
        [(1, beat), (2, renew), (3, beat), (2, renew), (3, beat)]
    );
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_refused_for_good_says_nothing_more() {
    for (problem, status, ended) in [
        ("start-ended", 409, Ended::Start),
        ("identity-collided", 403, Ended::Collided),
        ("endpoint-revoked", 403, Ended::Revoked),
    ] {
        let (chain, control_plane, _) = chain(move |_, _| Answer::Problem(problem, status)).await;
        let (one, two) = tokio::join!(chain.link(beat("one")), chain.link(beat("two")));
        for refused in [one, two] {
            assert_eq!(refused.unwrap_err(), LinkError::Ended(ended));
        }
        assert_eq!(chain.ended().await, ended);
        assert_eq!(control_plane.asked().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_leaves_has_not_been_ended_by_others() {
    let (chain, _, _) = chain(|_, asked| {
        Answer::json(&LinkAnswer {
            ended: true,
            ..taken(&asked.link(), LinkOutcome::Items { items: Vec::new() })
        })
    })
    .await;
    let leave = LinkBody::Retire(Retirement {
        leaving: true,
        bundles: Vec::new(),
    });
    chain.link(leave).await.unwrap();
    assert_eq!(chain.ended().await, Ended::Left);
}

#[tokio::test(start_paused = true)]
async fn the_control_plane_is_told_of_a_stranger_at_the_enclaves_door() {
    let (chain, control_plane, enclave) = chain(|_, asked| done(asked)).await;
    *enclave.intruded.lock() = true;
    let refused = chain.link(beat("one")).await;
    assert_eq!(refused.unwrap_err(), LinkError::Ended(Ended::Intruded));
    let asked = control_plane.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].link().head().kind(), LinkKind::EnclaveIntruder);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_refused_for_its_size_is_not_sent_for_ever() {
    let (chain, control_plane, _) = chain(|_, _| Answer::Problem("too-large", 413)).await;
    let refused = chain.link(beat("one")).await;
    assert_eq!(refused.unwrap_err(), LinkError::Ended(Ended::TooLarge));
    assert_eq!(chain.ended().await, Ended::TooLarge);
    assert_eq!(control_plane.asked().len(), 1);
}
