//! The ledger against a real PostgreSQL and two replicas.

use armour_api::{AuditEntry, BundleState, Page, Policy, ReportVerdict, Role};
use armour_protocol::ticket::SignedTicket;
use chrono::Duration;
use uuid::Uuid;

use crate::common::{World, app_in, database, history, replica, report, serve, still};

#[tokio::test]
async fn reports_extend_repeat_leave_gaps_and_collide() {
    let base = replica(&database().await).await;
    let world = World::new(&base, Policy::default()).await;
    let (consumer, producer) = (world.consumer.client(&base), world.producer.client(&base));
    let bundle = consumer
        .request_bundle(world.pair.id, None)
        .await
        .unwrap()
        .bundle
        .id;
    let honest = history(&world.consumer.key, bundle, 0, &[], 10, 1);
    let one = |verdicts: Vec<ReportVerdict>| verdicts.into_iter().next().unwrap();
    for cut in [&honest[..3], &honest[..3], &honest[1..6], &honest[4..5]] {
        assert_eq!(
            one(producer.report(vec![report(cut, 0)]).await.unwrap()),
            ReportVerdict::Accepted
        );
        assert_eq!(
            one(consumer.report(vec![report(cut, 0)]).await.unwrap()),
            ReportVerdict::Accepted
        );
    }
    let gap = one(consumer
        .report(vec![report(&honest[8..], 0)])
        .await
        .unwrap());
    assert_eq!(gap, ReportVerdict::Gap { expected: 6 });
    // Forged: signed by another key. It proves nothing and disconnects nobody.
    let forged = history(&world.producer.key, bundle, 0, &honest[..2], 4, 2);
    let verdict = one(producer
        .report(vec![report(&forged[2..], 0)])
        .await
        .unwrap());
    assert!(
        matches!(verdict, ReportVerdict::Refused { .. }),
        "{verdict:?}"
    );
    let state = world
        .operator
        .get::<armour_api::Bundle>(&format!("/v1/bundles/{bundle}"))
        .await;
    assert_eq!(state.unwrap().state, BundleState::Active);
    // A fork in the middle of what is recorded.
    let fork = history(&world.consumer.key, bundle, 0, &honest[..2], 4, 2);
    let verdict = one(producer.report(vec![report(&fork[2..], 0)]).await.unwrap());
    assert_eq!(verdict, ReportVerdict::Collision);
    let verdict = one(consumer
        .report(vec![report(&honest[6..], 0)])
        .await
        .unwrap());
    assert_eq!(verdict, ReportVerdict::Disconnected);
    let collisions = world.operator.collisions().await.unwrap().items;
    assert_eq!((collisions.len(), collisions[0].n), (1, 2));
    assert!(
        consumer
            .request_bundle(world.pair.id, None)
            .await
            .unwrap_err()
            .is("pair-disconnected")
    );
    world.operator.re_arm(world.pair.id, "drill").await.unwrap();
    assert_ne!(
        consumer
            .request_bundle(world.pair.id, None)
            .await
            .unwrap()
            .bundle
            .id,
        bundle
    );
}

/// Calls that come at once share transactions; nobody's verdict is another's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_that_come_at_once_each_get_their_own_verdict() {
    let base = replica(&database().await).await;
    let world = World::new(&base, Policy::default()).await;
    let mut ends = Vec::new();
    for _ in 0..24 {
        let party = world.pair.consumer_id;
        let endpoint = crate::common::enrol(&world.operator, Role::Consumer, party).await;
        let client = endpoint.client(&base);
        let bundle = client
            .request_bundle(world.pair.id, None)
            .await
            .unwrap()
            .bundle
            .id;
        let honest = history(&endpoint.key, bundle, 0, &[], 6, 1);
        let verdicts = client.report(vec![report(&honest[..2], 0)]).await.unwrap();
        assert_eq!(verdicts, [ReportVerdict::Accepted]);
        ends.push((endpoint, client, honest));
    }
    let revoked = ends[3].0.id;
    let path = format!("/v1/endpoints/{revoked}/revoke");
    let why = serde_json::json!({ "reason": "test" });
    let _: serde_json::Value = world.operator.post(&path, &why).await.unwrap();
    let calls = ends
        .iter()
        .enumerate()
        .map(|(place, (endpoint, client, honest))| {
            let others = &ends[(place + 1) % ends.len()].2;
            let mut sent = report(&honest[2..4], 0);
            match place {
                0 => {
                    let bundle = Uuid::from_bytes(honest[0].ticket.bundle);
                    let fork = history(&endpoint.key, bundle, 0, &honest[..1], 3, 2);
                    sent = report(&fork[1..], 0);
                }
                1 => sent.entries = "no base64!".into(),
                2 => sent = report(&others[2..4], 0),
                _ => {}
            }
            async move { client.report(vec![sent]).await }
        });
    // The producer reports of all of them meanwhile.
    let all: Vec<_> = ends.iter().map(|end| report(&end.2[..4], 0)).collect();
    let producer = world.producer.client(&base);
    let (told, by_producer) = tokio::join!(futures::future::join_all(calls), producer.report(all));
    for (place, told) in told.into_iter().enumerate() {
        let Ok(verdicts) = told else {
            assert_eq!(place, 3, "{told:?}");
            assert!(told.unwrap_err().is("endpoint-revoked"));
            continue;
        };
        let expected = match place {
            0 => matches!(
                verdicts[0],
                ReportVerdict::Collision | ReportVerdict::Disconnected
            ),
            1 | 2 => matches!(verdicts[0], ReportVerdict::Refused { .. }),
            _ => verdicts[0] == ReportVerdict::Accepted,
        };
        assert!(expected && verdicts.len() == 1, "{place}: {verdicts:?}");
    }
    for (place, verdict) in by_producer.unwrap().into_iter().enumerate() {
        // Either history of the first bundle may have come first; a revoked endpoint's
        // bundle has ended.
        let expected = match place {
            0 => matches!(
                verdict,
                ReportVerdict::Accepted | ReportVerdict::Disconnected
            ),
            3 => verdict == ReportVerdict::Disconnected,
            _ => verdict == ReportVerdict::Accepted,
        };
        assert!(expected, "{place}: {verdict:?}");
    }
    assert_eq!(world.operator.collisions().await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn the_last_signature_vouches_for_a_chain_but_evidence_bears_its_own() {
    let base = replica(&database().await).await;
    let world = World::new(&base, Policy::default()).await;
    let consumer = world.consumer.client(&base);
    let bundle = consumer
        .request_bundle(world.pair.id, None)
        .await
        .unwrap()
        .bundle
        .id;
    let verdict = async |tickets: &[SignedTicket]| {
        consumer
            .report(vec![report(tickets, 0)])
            .await
            .unwrap()
            .remove(0)
    };
    let honest = history(&world.consumer.key, bundle, 0, &[], 4, 1);
    let mut garbled = honest.clone();
    garbled[1].signature = [9; 64];
    assert_eq!(verdict(&garbled).await, ReportVerdict::Accepted);
    let mut last = history(&world.consumer.key, bundle, 0, &honest, 5, 1);
    last[4].signature = [9; 64];
    assert!(matches!(
        verdict(&last[4..]).await,
        ReportVerdict::Refused { .. }
    ));
    // It contradicts the record, but nobody could show that to anybody.
    let fork = history(&world.consumer.key, bundle, 0, &honest[..2], 4, 2);
    let mut unsigned = fork.clone();
    unsigned[2].signature = [9; 64];
    assert!(matches!(
        verdict(&unsigned[2..]).await,
        ReportVerdict::Refused { .. }
    ));
    assert_eq!(world.operator.collisions().await.unwrap().items.len(), 0);
    assert_eq!(verdict(&fork[2..]).await, ReportVerdict::Collision);
}

#[tokio::test]
async fn two_replicas_find_one_collision() {
    let url = database().await;
    let (a, b) = (replica(&url).await, replica(&url).await);
    for round in 0..10 {
        let world = World::new(&a, Policy::default()).await;
        let consumer = world.consumer.client(&a);
        let bundle = consumer
            .request_bundle(world.pair.id, None)
            .await
            .unwrap()
            .bundle
            .id;
        let honest = history(&world.consumer.key, bundle, 0, &[], 3, 1);
        let forked = history(&world.consumer.key, bundle, 0, &honest[..round % 3], 3, 2);
        let mut calls = Vec::new();
        for i in 0..8 {
            let (base, tickets) = if i % 2 == 0 {
                (&a, &honest)
            } else {
                (&b, &forked)
            };
            let endpoint = if i % 4 < 2 {
                &world.consumer
            } else {
                &world.producer
            };
            let client = endpoint.client(base);
            let sent = report(tickets, 0);
            calls.push(tokio::spawn(async move { client.report(vec![sent]).await }));
        }
        let mut collided = 0;
        for call in calls {
            let verdict = call.await.unwrap().unwrap().remove(0);
            collided += usize::from(verdict == ReportVerdict::Collision);
        }
        assert!(collided >= 1);
        assert_eq!(world.operator.collisions().await.unwrap().items.len(), 1);
        let audit: Page<AuditEntry> = world.operator.get("/v1/audit").await.unwrap();
        let count = |action: &str| audit.items.iter().filter(|e| e.action == action).count();
        assert_eq!(
            (count("collision.detect"), count("bundle.disconnect")),
            (1, 1)
        );
        assert_eq!(count("pair.disconnect"), 1);
    }
}

#[tokio::test]
async fn a_superseded_bundle_collides_only_when_used_after_its_grace() {
    let ambient = still();
    let app = app_in(&database().await, &[], ambient.clone()).await;
    let app = app.unwrap();
    let store = app.store.clone();
    let base = serve(app).await;
    let policy = Policy {
        supersede_grace_ms: 60_000,
        ..Policy::default()
    };
    let world = World::new(&base, policy).await;
    let (consumer, producer) = (world.consumer.client(&base), world.producer.client(&base));
    let old = consumer
        .request_bundle(world.pair.id, None)
        .await
        .unwrap()
        .bundle
        .id;
    let tickets = history(&world.consumer.key, old, 0, &[], 6, 1);
    producer
        .report(vec![report(&tickets[..2], 0)])
        .await
        .unwrap();
    let new = consumer
        .request_bundle(world.pair.id, None)
        .await
        .unwrap()
        .bundle
        .id;
    // Within the grace, and late but about something that happened before it.
    let verdict = producer
        .report(vec![report(&tickets[2..3], 0)])
        .await
        .unwrap()
        .remove(0);
    assert_eq!(verdict, ReportVerdict::Accepted);
    // An hour later, from the database's time on, which is that of the supersession.
    store.set_clock().await.unwrap();
    ambient.clock.advance(Duration::hours(1));
    let verdict = producer
        .report(vec![report(&tickets[3..4], 3_600_000)])
        .await
        .unwrap()
        .remove(0);
    assert_eq!(verdict, ReportVerdict::Accepted);
    let verdict = producer
        .report(vec![report(&tickets[4..5], 0)])
        .await
        .unwrap()
        .remove(0);
    assert_eq!(verdict, ReportVerdict::Collision);
    // The ticket that shows it is not recorded as a plain one: if we had died before
    // the collision was declared, the next report would have found it again.
    let path = format!("/v1/bundles/{old}/lanes");
    let lanes: Vec<armour_api::LaneHead> = world.operator.get(&path).await.unwrap();
    assert_eq!(lanes[0].n, 3);
    for id in [old, new] {
        let bundle: armour_api::Bundle = world
            .operator
            .get(&format!("/v1/bundles/{id}"))
            .await
            .unwrap();
        assert_eq!(bundle.state, BundleState::Disconnected);
    }
}

#[tokio::test]
async fn a_draw_that_comes_late_supersedes_nothing_and_one_of_a_thief_is_disowned() {
    let base = replica(&database().await).await;
    let world = World::new(&base, Policy::default()).await;
    let consumer = world.consumer.client(&base);
    let draw = async |number: Option<u64>| {
        consumer
            .request_numbered_bundle(&armour_api::DrawBundle {
                pair_id: world.pair.id,
                pinned: None,
                number,
            })
            .await
    };
    let state = async |id: Uuid| {
        let bundle: armour_api::Bundle = world
            .operator
            .get(&format!("/v1/bundles/{id}"))
            .await
            .unwrap();
        bundle.state
    };
    let mine = draw(Some(7)).await.unwrap().bundle.id;
    // What an earlier process asked for before it died.
    for late in [1, 6, 7, u64::MAX] {
        assert!(draw(Some(late)).await.unwrap_err().is("draw-over"));
    }
    assert_eq!(consumer.endpoint().await.unwrap().draws, 7);
    assert_eq!(state(mine).await, BundleState::Active);
    let word = consumer.disown_successor(mine).await.unwrap_err();
    assert!(word.is("not-superseded"), "{word}");
    // The thief has the endpoint's keys and can do all that it can, but not unseen.
    let theirs = draw(Some(8)).await.unwrap().bundle.id;
    assert_eq!(state(mine).await, BundleState::Superseded);
    let others = world.producer.client(&base).disown_successor(mine).await;
    assert!(others.unwrap_err().is("not-found"));
    for _ in 0..2 {
        consumer.disown_successor(mine).await.unwrap();
        for bundle in [mine, theirs] {
            assert_eq!(state(bundle).await, BundleState::Disconnected);
        }
    }
    let collisions = world.operator.collisions().await.unwrap().items;
    assert_eq!(collisions.len(), 1);
    assert_eq!(collisions[0].kind, armour_api::CollisionKind::Usurped);
    assert!(draw(Some(9)).await.unwrap_err().is("pair-disconnected"));
}
