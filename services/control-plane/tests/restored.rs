//! A database restored to an earlier state: no spent ticket is taken, nobody is
//! taken for a thief, and endpoints go on. The backup is PostgreSQL's own copy.

use armour_api::{
    AuditEntry, BundleState, Heartbeat, LogRestart, Page, Policy, ReportVerdict, Role,
};
use armour_protocol::v2::{identity::body::LinkBody, message::Evidence};
use armour_transparency::pin::{FENCE, Pin};
use serde_json::json;
use uuid::Uuid;

use crate::common::{
    As, PATIENCE, PLATFORM, TestBundle, TestEndpoint, World, bound, call, database, enrol, replica,
    until,
};

/// A copy of a database, as a backup is one.
pub async fn copy(database: &str) -> String {
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

/// What an end is told of a report of this part of a lane.
async fn say(
    base: &str,
    end: &TestEndpoint,
    bundle: &TestBundle<'_>,
    part: &[Evidence],
) -> ReportVerdict {
    let client = end.client(base);
    let told = client.report(vec![bundle.report(part)]).await;
    told.unwrap().remove(0)
}

#[tokio::test]
async fn endpoints_that_saw_more_have_a_restored_ledger_fenced() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let consumer = world.consumer.client(&base);
    let early = consumer.log_head(None).await.unwrap();
    let bundle = world.bundle().await;
    let tickets = bundle.plain(0, 12);
    let verdict = say(&base, &world.consumer, &bundle, &tickets[..10]).await;
    assert_eq!(verdict, ReportVerdict::Accepted);
    let backup = copy(&database).await;

    // After the backup: more tickets, a successor bundle, a log that grows.
    let verdict = say(&base, &world.producer, &bundle, &tickets[10..20]).await;
    assert_eq!(verdict, ReportVerdict::Accepted);
    let later = world.bundle().await;
    let seen = consumer.log_head(None).await.unwrap();

    // Somebody brings the backup up, and says nothing.
    let base = replica(&backup).await;
    let (consumer, producer) = (world.consumer.client(&base), world.producer.client(&base));
    // What both ends did is not known here; that alone is no collision.
    let verdict = say(&base, &world.consumer, &bundle, &tickets[20..]).await;
    assert_eq!(verdict, ReportVerdict::Gap { expected: 5, k: 0 });
    let verdict = say(&base, &world.consumer, &later, &later.plain(0, 1)).await;
    assert!(matches!(verdict, ReportVerdict::Refused { .. }));
    // A sign of life of an endpoint whose links are all here shows that the log is behind.
    let beat = |size| Heartbeat {
        bundles: vec![bundle.id, later.id],
        log_size: Some(size),
        ..Heartbeat::default()
    };
    let ack = world.producer.beat(&base, &beat(early.head.size)).await;
    assert!(!ack.log_behind);
    let ack = world.producer.beat(&base, &beat(seen.head.size)).await;
    assert!(ack.log_behind);
    assert_eq!(ack.bundles[1].state, BundleState::Disconnected);

    // A head that is no proof of it changes nothing.
    let mut forged = seen.head.clone();
    forged.size += 1;
    assert!(consumer.log_restart(&forged).await.is_err());
    let refused = consumer.log_restart(&early.head).await;
    assert!(refused.is_err_and(|error| error.is("nothing-lost")));
    let old = world.operator_token();
    let bundle_url = format!("{base}/v1/bundles/{}", bundle.id);
    let state = async || {
        let (_, _, text) = call(As::Bearer(&old), "GET", &bundle_url, None).await;
        let bundle: armour_api::Bundle = serde_json::from_str(&text).unwrap();
        bundle.state
    };
    assert_eq!(state().await, BundleState::Active);

    // The signed head of the lost log is: the tenant is fenced, once.
    let mut pin = Pin::first(&seen).unwrap();
    let restart = consumer.log_restart(&seen.head).await.unwrap();
    assert_eq!(state().await, BundleState::Disconnected);
    let again = producer.log_restart(&seen.head).await.unwrap();
    assert_eq!(again.fence.entry, restart.fence.entry);
    // No ticket of before is taken any more, spent or not, the thief's or the owner's.
    let fork = bundle.history(0, &[(0, 0), (1, 1), (9, 9)]);
    for part in [&tickets[10..20], &tickets[20..], &fork[4..]] {
        let verdict = say(&base, &world.consumer, &bundle, part).await;
        assert_eq!(verdict, ReportVerdict::Disconnected);
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
    let mut kept = Pin::first(&early).unwrap();
    assert!(kept.restart(&restart).is_err());
    assert_eq!(pin.restart(&restart).unwrap(), seen.head);
    assert!(pin.restart(&restart).is_err(), "twice");
    // Its chain goes on past the links that were lost.
    let grant = world.consumer.draw(&base, world.pair.id, None).await;
    let fresh = TestBundle::of(&grant, &world.consumer, &world.producer);
    let verdict = say(&base, &world.consumer, &fresh, &fresh.plain(0, 3)).await;
    assert_eq!(verdict, ReportVerdict::Accepted);
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
    let ack = world.producer.beat(&base, &beat(seen.head.size)).await;
    assert!(!ack.log_behind);
    let again = producer.log_restart(&seen.head).await.unwrap();
    assert_eq!(again.fence.entry, restart.fence.entry);
}

#[tokio::test]
async fn an_operator_fences_before_anybody_calls() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let bundle = world.bundle().await;
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
    let verdict = say(&base, &world.consumer, &bundle, &bundle.plain(0, 2)).await;
    assert_eq!(verdict, ReportVerdict::Disconnected);
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
    fresh.start(&base).await;
    fresh.try_draw(&base, world.pair.id).await.unwrap();
}

/// Makes all that happened so far hours ago.
async fn hours_pass(database: &str, tenant: Uuid, hours: i32) {
    let mut connection = bound(database, tenant).await;
    for (table, columns) in [
        ("endpoints", ["created_at"].as_slice()),
        ("endpoint_starts", &["accepted_at", "head_at", "ended_at"]),
        ("fences", &["fenced_at"]),
    ] {
        let set = columns
            .iter()
            .map(|name| format!("{name} = {name} - interval '{hours} hours'"));
        let set = set.collect::<Vec<_>>().join(", ");
        sqlx::query(sqlx::AssertSqlSafe(format!("UPDATE {table} SET {set}")))
            .execute(&mut connection)
            .await
            .unwrap();
    }
}

/// A tenant that was fenced an hour ago, an hour after its endpoints had enrolled and started.
async fn fenced_long_ago() -> (String, String, World) {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    world.consumer.heartbeat(&base, vec![]).await;
    hours_pass(&database, world.tenant, 1).await;
    let url = format!("{base}/v1/tenants/{}/fence", world.tenant);
    let body = json!({ "reason": "restored to last night" });
    let (status, _, text) = call(As::Bearer(PLATFORM), "POST", &url, Some(&body)).await;
    assert_eq!(status, 201, "{text}");
    hours_pass(&database, world.tenant, 1).await;
    (database, base, world)
}

fn beat() -> LinkBody {
    LinkBody::Heartbeat(b"{\"bundles\":[]}".to_vec())
}

/// Signs a link that never arrives.
fn lose_a_link(endpoint: &TestEndpoint) {
    let link = endpoint.sign(beat());
    let mark = link.link().mark();
    let answer = armour_api::LinkAnswer {
        head: armour_api::ChainHead {
            k: mark.k,
            hash: base64::Engine::encode(&base64::engine::general_purpose::STANDARD, mark.hash.0),
        },
        ended: false,
        outcome: None,
    };
    assert!(endpoint.answered(link, &answer).is_none());
}

#[tokio::test]
async fn a_fence_of_long_ago_excuses_no_gap_of_a_start_that_came_after_it() {
    let (_, base, world) = fenced_long_ago().await;
    // It was heard since, then started anew: nothing of that start was lost.
    world.consumer.heartbeat(&base, vec![]).await;
    world.consumer.start(&base).await;
    lose_a_link(&world.consumer);
    let second = world.consumer.sign(beat());
    let answer = world.consumer.send(&base, &second).await.unwrap();
    assert_eq!(answer.head.k, 0);
    assert!(answer.outcome.is_none() && !answer.ended);
}

#[tokio::test]
async fn a_fence_of_long_ago_excuses_no_invented_past_of_an_endpoint_heard_since() {
    let (_, base, world) = fenced_long_ago().await;
    let thief = world.consumer.copied();
    // The owner was heard, and left: nobody lives.
    world.consumer.heartbeat(&base, vec![]).await;
    assert!(world.consumer.retire(&base, &[], true).await.ended);
    thief.run(thief.begin(None));
    let invented = thief.begin(None);
    let refused = thief.announce(&base, invented.start(), "thief").await;
    assert!(refused.is_err_and(|error| error.is("identity-collided")));
}

#[tokio::test]
async fn an_endpoint_not_heard_since_a_fence_goes_on_however_long_ago_that_was() {
    let (_, base, world) = fenced_long_ago().await;
    // Links of a start that is recorded were lost.
    lose_a_link(&world.producer);
    world.producer.heartbeat(&base, vec![]).await;
    lose_a_link(&world.producer);
    let link = world.producer.sign(beat());
    let answer = world.producer.send(&base, &link).await.unwrap();
    assert!(
        answer.outcome.is_none(),
        "once it was heard, nothing is excused"
    );
    // A start was lost, with its links: it is announced again.
    let lost = world.consumer.begin(None);
    let announced = lost.start().clone();
    world.consumer.run(lost);
    lose_a_link(&world.consumer);
    let link = world.consumer.sign(beat());
    let unknown = world.consumer.send(&base, &link).await;
    assert!(unknown.is_err_and(|error| error.is("not-this-chain")));
    let again = world.consumer.announce(&base, &announced, "test").await;
    assert_eq!(again.unwrap().counter, 2);
    world.consumer.sent(&base, link).await;
}

#[tokio::test]
async fn whoever_has_read_events_that_are_lost_is_told_of_the_fence_and_goes_on_from_there() {
    use futures::StreamExt;
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    world.bundle().await;
    let standby = copy(&database).await;
    world.consumer.draw(&base, world.pair.id, None).await;
    let seen = world.consumer.client(&base).log_head(None).await.unwrap();
    let mut events = world.operator.events("/v1/events", Some(0)).await.unwrap();
    let mut last = 0;
    let mut minted = 0;
    while minted < 2 {
        let event = events.next().await.unwrap();
        last = event.seq;
        minted += usize::from(event.kind == "bundle.minted");
    }
    let base = replica(&standby).await;
    let restart = world.consumer.client(&base).log_restart(&seen.head).await;
    restart.unwrap();
    let operator = armour_client::Client::new(&base, world.operator_token()).unwrap();
    let mut events = operator.events("/v1/events", Some(last)).await.unwrap();
    let first = events.next().await.unwrap();
    assert_eq!(first.kind, "ledger.fenced");
    assert!(first.seq > last && first.seq >> 32 > 0);
}

/// Epochs were hours: after the second of two restores within one, whoever had read on after the
/// first had numbers above the second fence's, and was not told of it.
#[tokio::test]
async fn whoever_has_read_on_after_a_fence_is_told_of_another_one_within_the_hour() {
    use futures::StreamExt;
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    // Both are from before the first fence: the second knows nothing of it.
    let first = copy(&database).await;
    let second = copy(&first).await;
    let fence = async |base: &str| {
        let url = format!("{base}/v1/tenants/{}/fence", world.tenant);
        let body = json!({ "reason": "restored to last night" });
        let (status, _, text) = call(As::Bearer(PLATFORM), "POST", &url, Some(&body)).await;
        assert_eq!(status, 201, "{text}");
        armour_client::Client::new(base, world.operator_token()).unwrap()
    };
    let base = replica(&first).await;
    let operator = fence(&base).await;
    for n in 0..20 {
        let name = format!("more {n}");
        operator
            .create_party(Role::Producer, &name)
            .await
            .map(|producer| producer.id)
            .unwrap();
        world.consumer.draw(&base, world.pair.id, None).await;
    }
    let mut events = operator.events("/v1/events", Some(0)).await.unwrap();
    let mut last = 0;
    let mut minted = 0;
    while minted < 20 {
        let event = events.next().await.unwrap();
        last = event.seq;
        minted += usize::from(event.kind == "bundle.minted");
    }
    let operator = fence(&replica(&second).await).await;
    let mut events = operator.events("/v1/events", Some(last)).await.unwrap();
    let told = tokio::time::timeout(PATIENCE, events.next());
    let told = told.await.expect("it is told of nothing").unwrap();
    assert_eq!(told.kind, "ledger.fenced");
    assert!(told.seq > last);
}
