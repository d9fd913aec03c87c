//! The ledger against a real PostgreSQL and two replicas.

mod common;

use armour_api::{AuditEntry, BundleState, Page, Policy, ReportVerdict};
use common::{World, database, history, replica, report};

#[tokio::test]
async fn reports_extend_repeat_leave_gaps_and_collide() {
    let base = replica(&database().await).await;
    let world = World::new(&base, Policy::default()).await;
    let (consumer, producer) = (world.consumer.client(&base), world.producer.client(&base));
    let bundle = consumer
        .draw_bundle(world.pair.id, None)
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
            .draw_bundle(world.pair.id, None)
            .await
            .unwrap_err()
            .is("pair-disconnected")
    );
    world.operator.re_arm(world.pair.id, "drill").await.unwrap();
    assert_ne!(
        consumer
            .draw_bundle(world.pair.id, None)
            .await
            .unwrap()
            .bundle
            .id,
        bundle
    );
}

#[tokio::test]
async fn two_replicas_find_one_collision() {
    let url = database().await;
    let (a, b) = (replica(&url).await, replica(&url).await);
    for round in 0..10 {
        let world = World::new(&a, Policy::default()).await;
        let consumer = world.consumer.client(&a);
        let bundle = consumer
            .draw_bundle(world.pair.id, None)
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
    let base = replica(&database().await).await;
    let policy = Policy {
        supersede_grace_ms: 300,
        ..Policy::default()
    };
    let world = World::new(&base, policy).await;
    let (consumer, producer) = (world.consumer.client(&base), world.producer.client(&base));
    let old = consumer
        .draw_bundle(world.pair.id, None)
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
        .draw_bundle(world.pair.id, None)
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
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    let verdict = producer
        .report(vec![report(&tickets[3..4], 60_000)])
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
