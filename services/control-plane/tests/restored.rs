//! A database restored to an earlier state: no spent ticket is taken, nobody is
//! taken for a thief, and endpoints go on. The backup is PostgreSQL's own copy.

use armour_api::{AuditEntry, BundleState, LogRestart, Page, Policy, ReportVerdict, Role};
use armour_transparency::pin::{FENCE, Pin};
use serde_json::json;

use crate::common::{As, PLATFORM, World, call, database, enrol, history, replica, report, until};

/// A copy of a database, as a backup is one.
async fn copy(database: &str) -> String {
    let (base, name) = database.rsplit_once('/').unwrap();
    let copy = format!("{name}_restored");
    let server = std::env::var("ARMOUR_TEST_POSTGRES").unwrap();
    let pool = sqlx::PgPool::connect(&server).await.unwrap();
    let run = async |statement: String| {
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .execute(&pool)
            .await
    };
    // A template must have no sessions; the replica connects again by itself.
    let allow = async |allow: bool| {
        run(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {allow}"))
            .await
            .unwrap();
    };
    let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
    allow(false).await;
    until("the copy", async || {
        sqlx::query(terminate)
            .bind(name)
            .execute(&pool)
            .await
            .unwrap();
        run(format!("CREATE DATABASE {copy} TEMPLATE {name}"))
            .await
            .ok()
    })
    .await;
    allow(true).await;
    format!("{base}/{copy}")
}

async fn draw(world: &World, base: &str) -> uuid::Uuid {
    let consumer = world.consumer.client(base);
    let drawn = consumer.request_bundle(world.pair.id, None).await.unwrap();
    drawn.bundle.id
}

async fn verdict(
    client: &armour_client::Client,
    report: armour_api::TicketReport,
) -> ReportVerdict {
    client.report(vec![report]).await.unwrap().remove(0)
}

#[tokio::test]
async fn endpoints_that_saw_more_have_a_restored_ledger_fenced() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let key = &world.consumer.key;
    let (consumer, producer) = (world.consumer.client(&base), world.producer.client(&base));
    let early = consumer.log_head(None).await.unwrap();
    let bundle = draw(&world, &base).await;
    let tickets = history(key, bundle, 0, &[], 20, 1);
    assert_eq!(
        verdict(&consumer, report(&tickets[..5], 0)).await,
        ReportVerdict::Accepted
    );
    let backup = copy(&database).await;

    // After the backup: more tickets, a successor bundle, a log that grows.
    assert_eq!(
        verdict(&producer, report(&tickets[5..10], 0)).await,
        ReportVerdict::Accepted
    );
    let later = draw(&world, &base).await;
    let seen = consumer.log_head(None).await.unwrap();

    // Somebody brings the backup up, and says nothing.
    let base = replica(&backup).await;
    let (consumer, producer) = (world.consumer.client(&base), world.producer.client(&base));
    // What both ends did is not known here; that alone is no collision.
    assert_eq!(
        verdict(&consumer, report(&tickets[10..11], 0)).await,
        ReportVerdict::Gap { expected: 5 }
    );
    let of_later = history(key, later, 0, &[], 1, 1);
    assert!(matches!(
        verdict(&consumer, report(&of_later, 0)).await,
        ReportVerdict::Refused { .. }
    ));
    // An endpoint's sign of life shows that the log is behind.
    let beat = |size| armour_api::Heartbeat {
        bundles: vec![bundle, later],
        error: None,
        log_size: Some(size),
    };
    assert!(
        !consumer
            .heartbeat(&beat(early.head.size))
            .await
            .unwrap()
            .log_behind
    );
    let ack = consumer.heartbeat(&beat(seen.head.size)).await.unwrap();
    assert!(ack.log_behind);
    assert_eq!(ack.bundles[1].state, BundleState::Disconnected);

    // A head that is no proof of it changes nothing.
    let mut forged = seen.head.clone();
    forged.size += 1;
    assert!(consumer.log_restart(&forged).await.is_err());
    let refused = consumer.log_restart(&early.head).await;
    assert!(refused.is_err_and(|error| error.is("nothing-lost")));
    let old = world.operator_token();
    let bundle_url = format!("{base}/v1/bundles/{bundle}");
    let state = async || {
        let (_, _, text) = call(As::Bearer(&old), "GET", &bundle_url, None).await;
        let bundle: armour_api::Bundle = serde_json::from_str(&text).unwrap();
        bundle.state
    };
    assert_eq!(state().await, BundleState::Active);

    // The signed head of the lost log is: the tenant is fenced, once.
    let mut pin = Pin::first(&seen.log_key, seen.head.clone()).unwrap();
    let restart = consumer.log_restart(&seen.head).await.unwrap();
    assert_eq!(state().await, BundleState::Disconnected);
    let again = producer.log_restart(&seen.head).await.unwrap();
    assert_eq!(again.fence.entry, restart.fence.entry);
    // No ticket of before is taken any more, spent or not, the thief's or the owner's.
    for tickets in [
        &tickets[5..10],
        &tickets[10..12],
        &history(key, bundle, 0, &tickets[..5], 7, 9)[5..],
    ] {
        assert_eq!(
            verdict(&consumer, report(tickets, 0)).await,
            ReportVerdict::Disconnected
        );
    }
    let (_, _, text) = call(
        As::Bearer(&old),
        "GET",
        &format!("{base}/v1/collisions"),
        None,
    )
    .await;
    assert!(text.contains("\"items\":[]"), "{text}");

    // The endpoint goes on from the signed word, and holds on to what contradicts it.
    type Spoil = fn(&mut LogRestart);
    let wrongs: [(&str, Spoil); 4] = [
        ("another action", |r| {
            r.fence.entry.action = "pair.create".into();
        }),
        ("another time", |r| {
            r.fence.entry.created_at += chrono::TimeDelta::seconds(1);
        }),
        ("another number", |r| r.fence.entry.seq += 1),
        ("another head", |r| r.head.size += 1),
    ];
    for (name, spoil) in wrongs {
        let mut wrong: LogRestart =
            serde_json::from_value(serde_json::to_value(&restart).unwrap()).unwrap();
        spoil(&mut wrong);
        assert!(pin.restart(&wrong).is_err(), "{name}");
    }
    // It explains the loss of what was later, not of what is still there.
    let mut kept = Pin::first(&early.log_key, early.head.clone()).unwrap();
    assert!(kept.restart(&restart).is_err());
    assert_eq!(pin.restart(&restart).unwrap(), seen.head);
    assert!(pin.restart(&restart).is_err(), "twice");
    let successor = draw(&world, &base).await;
    let fresh = history(key, successor, 0, &[], 3, 1);
    assert_eq!(
        verdict(&consumer, report(&fresh, 0)).await,
        ReportVerdict::Accepted
    );
    let (_, _, text) = call(As::Bearer(&old), "GET", &format!("{base}/v1/audit"), None).await;
    let page: Page<AuditEntry> = serde_json::from_str(&text).unwrap();
    let fences: Vec<_> = page.items.iter().filter(|e| e.action == FENCE).collect();
    assert_eq!(fences.len(), 1);
    assert_eq!(fences[0].actor, format!("endpoint:{}", world.consumer.id));

    // The log grows past what was lost: it is another one all the same.
    for n in 0..20 {
        let body = json!({ "name": format!("more {n}") });
        call(
            As::Bearer(&old),
            "POST",
            &format!("{base}/v1/producers"),
            Some(&body),
        )
        .await;
    }
    let grown = producer.log_head(None).await.unwrap();
    assert!(grown.head.size > seen.head.size);
    assert!(
        !producer
            .heartbeat(&beat(seen.head.size))
            .await
            .unwrap()
            .log_behind
    );
    let again = producer.log_restart(&seen.head).await.unwrap();
    assert_eq!(again.fence.entry, restart.fence.entry);
}

#[tokio::test]
async fn an_operator_fences_before_anybody_calls() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let bundle = draw(&world, &base).await;
    let unused = world
        .operator
        .create_enrolment_token(Role::Consumer, world.pair.consumer_id)
        .await
        .unwrap();
    let backup = copy(&database).await;
    let used = world.operator.with_token(&unused.token);
    crate::common::enrol_with(&used, Role::Consumer)
        .await
        .unwrap();

    let base = replica(&backup).await;
    let url = format!("{base}/v1/tenants/{}/fence", world.tenant);
    let body = json!({ "reason": "restored to last night" });
    let (status, _, text) = call(As::Bearer(PLATFORM), "POST", &url, Some(&body)).await;
    assert_eq!(status, 201, "{text}");
    let tickets = history(&world.consumer.key, bundle, 0, &[], 2, 1);
    assert_eq!(
        verdict(&world.consumer.client(&base), report(&tickets, 0)).await,
        ReportVerdict::Disconnected
    );
    // A token that was used after the backup is not good for a second endpoint.
    let client = armour_client::Client::new(&base, &unused.token).unwrap();
    assert!(
        crate::common::enrol_with(&client, Role::Consumer)
            .await
            .is_err()
    );
    // The pair itself is as it was: a new endpoint can be enrolled, bundles drawn.
    let operator = armour_client::Client::new(&base, world.operator_token()).unwrap();
    let fresh = enrol(&operator, Role::Consumer, world.pair.consumer_id).await;
    let client = fresh.client(&base);
    client.request_bundle(world.pair.id, None).await.unwrap();
}
