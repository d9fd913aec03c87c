//! Starts of endpoints: who is the endpoint, and what becomes of whom.

use armour_api::{
    AuditEntry, Bundle, BundleState, ChooseStart, Endpoint, EndpointState, Page, Policy,
    StartChoice,
};
use armour_client::ClientError;
use armour_protocol::v2::identity::{body::LinkBody, start::StartHash};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::Duration;
use futures::StreamExt;
use serde_json::json;
use uuid::Uuid;

use crate::common::{
    As, TestEndpoint, World, app_in, bound, call, database, replica, serve, still, until,
};

async fn new_world() -> (String, World) {
    let base = replica(&database().await).await;
    let world = World::new(&base, Policy::default()).await;
    (base, world)
}

async fn state_of(world: &World, endpoint: &TestEndpoint) -> EndpointState {
    let path = format!("/v1/endpoints/{}", endpoint.id);
    let endpoint: Endpoint = world.operator.get(&path).await.unwrap();
    endpoint.state
}

async fn bundle_state(world: &World, bundle: Uuid) -> BundleState {
    let path = format!("/v1/bundles/{bundle}");
    let bundle: Bundle = world.operator.get(&path).await.unwrap();
    bundle.state
}

async fn audited(world: &World, action: &str) -> Vec<AuditEntry> {
    let path = format!("/v1/audit?action={action}");
    let page: Page<AuditEntry> = world.operator.get(&path).await.unwrap();
    page.items
}

fn refused<T: std::fmt::Debug>(answer: Result<T, ClientError>, kind: &str) {
    let error = answer.expect_err("a refusal");
    assert!(error.is(kind), "{error}");
}

/// What the living start does when it is asked whether it lives.
async fn answers_once(base: String, living: &TestEndpoint) {
    let client = living.client(&base);
    let mut events = client.events("/v1/endpoint/events", Some(0)).await.unwrap();
    while let Some(event) = events.next().await {
        if event.kind == "endpoint.presence-asked" {
            assert_eq!(event.endpoint_id, Some(living.id));
            let other = STANDARD.decode(event.detail["start"].as_str().unwrap());
            let other = StartHash(other.unwrap().try_into().unwrap());
            living.answer_presence(&base, other).await.unwrap();
            return;
        }
    }
}

/// Waits until a replica has noted that this endpoint follows its events.
async fn followed(database: &str, endpoint: &TestEndpoint) {
    let mut connection = bound(database, endpoint.tenant).await;
    until("a stream", async || {
        let sql = "SELECT count(*) FROM endpoint_streams WHERE endpoint_id = $1";
        let count: i64 = sqlx::query_scalar(sql)
            .bind(endpoint.id)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        (count > 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_later_start_of_the_folder_ends_the_earlier_one_with_all_that_is_its() {
    let (base, world) = new_world().await;
    let consumer = &world.consumer;
    let grant = consumer.draw(&base, world.pair.id, None).await;
    let url = format!("{base}/v1/endpoint");
    let token = consumer.access_token(&base).await;
    let proof = || consumer.proof("GET", &url, Some(&token));
    let ask = async |proof: String| {
        reqwest::Client::new()
            .get(&url)
            .header("authorization", format!("DPoP {token}"))
            .header("dpop", proof)
            .send()
            .await
            .unwrap()
    };
    assert_eq!(ask(proof()).await.status(), 200);
    let old = consumer.copied();
    let old_client = consumer.client(&base);
    let (old_proof, old_link) = (
        proof(),
        consumer.sign(LinkBody::Heartbeat(b"{\"bundles\":[]}".to_vec())),
    );
    // Another process on the same folder, while nobody follows the first one's events.
    let starting = old.begin(None);
    old.announce(&base, starting.start(), "b").await.unwrap();
    assert_eq!(
        bundle_state(&world, grant.bundle.id).await,
        BundleState::Superseded
    );
    let answer = ask(old_proof).await;
    assert_eq!(answer.status(), 409);
    let problem: armour_api::Problem = answer.json().await.unwrap();
    assert_eq!(problem.kind(), Some("start-ended"));
    refused(old_client.endpoint().await, "start-ended");
    // Its last link is late, and accuses nobody.
    let answer = consumer.send(&base, &old_link).await.unwrap();
    assert!(answer.ended && answer.outcome.is_none());
    assert_eq!(state_of(&world, consumer).await, EndpointState::Active);
    // The new one is the endpoint, and gets the same answer again.
    let again = old.announce(&base, starting.start(), "b").await.unwrap();
    assert_eq!(again.counter, 2);
    old.run(starting);
    let next = old.draw_after(&base, world.pair.id, 1).await;
    assert_eq!(bundle_state(&world, next).await, BundleState::Active);
    let starts = audited(&world, "endpoint.start").await;
    assert!(starts.iter().any(|entry| entry.detail["host"] == "b"));
}

#[tokio::test]
async fn a_second_start_while_the_first_lives_is_refused_and_people_choose_the_older() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let older = &world.consumer;
    let newer = older.copied();
    let starting = newer.begin(None);
    let refused_once = async {
        followed(&database, older).await;
        newer.announce(&base, starting.start(), "b").await
    };
    let (answer, ()) = tokio::join!(refused_once, answers_once(base.clone(), older));
    let error = answer.expect_err("in use");
    assert!(error.is("identity-in-use"), "{error}");
    // It names both.
    let text = error.to_string();
    assert!(text.contains("on test") && text.contains("on b"), "{text}");
    let told = audited(&world, "endpoint.in-use").await;
    assert_eq!(told.len(), 1);
    // Asked again, nobody is asked again.
    refused(
        newer.announce(&base, starting.start(), "b").await,
        "identity-in-use",
    );
    // The older one lives on, but draws nothing.
    older.heartbeat(&base, vec![]).await;
    let problem = older.try_draw(&base, world.pair.id).await.unwrap_err();
    assert_eq!(problem.kind(), Some("identity-in-use"));
    // People choose.
    let path = format!("/v1/endpoints/{}/start-choice", older.id);
    let keep = ChooseStart {
        keep: StartChoice::Older,
    };
    let _: Endpoint = world.operator.post(&path, &keep).await.unwrap();
    refused(
        newer.announce(&base, starting.start(), "b").await,
        "start-ended",
    );
    older.draw(&base, world.pair.id, None).await;
    let again = world.operator.post::<Endpoint>(&path, &keep).await;
    refused(again, "not-found");
    assert_eq!(audited(&world, "endpoint.start-choice").await.len(), 1);
    assert_eq!(state_of(&world, older).await, EndpointState::Active);
}

#[tokio::test]
async fn a_renewal_in_flight_when_a_dispute_begins_does_not_hold_up_the_chain() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let older = &world.consumer;
    let newer = older.copied();
    let starting = newer.begin(None);
    let refused_once = async {
        followed(&database, older).await;
        newer.announce(&base, starting.start(), "b").await
    };
    let (answer, ()) = tokio::join!(refused_once, answers_once(base.clone(), older));
    refused(answer, "identity-in-use");
    older.renew(&base).await;
    older.heartbeat(&base, vec![]).await;
    // Which start is the endpoint does not hang on it.
    let problem = older.try_draw(&base, world.pair.id).await.unwrap_err();
    assert_eq!(problem.kind(), Some("identity-in-use"));
    refused(
        newer.announce(&base, starting.start(), "b").await,
        "identity-in-use",
    );
    let path = format!("/v1/endpoints/{}/start-choice", older.id);
    let keep = ChooseStart {
        keep: StartChoice::Newer,
    };
    let _: Endpoint = world.operator.post(&path, &keep).await.unwrap();
    newer.announce(&base, starting.start(), "b").await.unwrap();
    let late = older.sign(LinkBody::Heartbeat(b"{\"bundles\":[]}".to_vec()));
    assert!(older.send(&base, &late).await.unwrap().ended);
}

#[tokio::test]
async fn people_choose_the_newer_of_two_starts_and_the_older_ends() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let older = &world.consumer;
    let grant = older.draw(&base, world.pair.id, None).await;
    let newer = older.copied();
    let starting = newer.begin(None);
    let refused_once = async {
        followed(&database, older).await;
        newer.announce(&base, starting.start(), "b").await
    };
    let (answer, ()) = tokio::join!(refused_once, answers_once(base.clone(), older));
    refused(answer, "identity-in-use");
    let path = format!("/v1/endpoints/{}/start-choice", older.id);
    let keep = ChooseStart {
        keep: StartChoice::Newer,
    };
    let _: Endpoint = world.operator.post(&path, &keep).await.unwrap();
    assert_eq!(
        bundle_state(&world, grant.bundle.id).await,
        BundleState::Superseded
    );
    newer.announce(&base, starting.start(), "b").await.unwrap();
    newer.run(starting);
    newer.draw_after(&base, world.pair.id, 1).await;
    // The older one's next link is late; a second one would accuse.
    let late = older.sign(LinkBody::Heartbeat(b"{\"bundles\":[]}".to_vec()));
    assert!(older.send(&base, &late).await.unwrap().ended);
    assert!(older.send(&base, &late).await.unwrap().ended);
    assert_eq!(state_of(&world, older).await, EndpointState::Active);
}

#[tokio::test]
async fn both_starts_end_if_nobody_chooses_within_ten_minutes() {
    let database = database().await;
    let ambient = still();
    let app = app_in(&database, &[], ambient.clone()).await.unwrap();
    let base = serve(app).await;
    let world = World::new(&base, Policy::default()).await;
    let older = &world.consumer;
    let newer = older.copied();
    let starting = newer.begin(None);
    let refused_once = async {
        followed(&database, older).await;
        newer.announce(&base, starting.start(), "b").await
    };
    let (answer, ()) = tokio::join!(refused_once, answers_once(base.clone(), older));
    refused(answer, "identity-in-use");
    ambient.clock.advance(Duration::minutes(11));
    refused(
        newer.announce(&base, starting.start(), "b").await,
        "start-ended",
    );
    let late = older.sign(LinkBody::Heartbeat(b"{\"bundles\":[]}".to_vec()));
    assert!(older.send(&base, &late).await.unwrap().ended);
    assert_eq!(audited(&world, "endpoint.start-end").await.len(), 1);
    // The folder's next start is accepted; nobody was accused.
    let next = newer.begin(None);
    newer.announce(&base, next.start(), "b").await.unwrap();
    assert_eq!(state_of(&world, older).await, EndpointState::Active);
}

#[tokio::test]
async fn a_start_whose_rival_leaves_meanwhile_is_accepted() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let older = &world.producer;
    let newer = older.copied();
    let starting = newer.begin(None);
    let refused_once = async {
        followed(&database, older).await;
        newer.announce(&base, starting.start(), "b").await
    };
    let (answer, ()) = tokio::join!(refused_once, answers_once(base.clone(), older));
    refused(answer, "identity-in-use");
    assert!(older.retire(&base, &[], true).await.ended);
    newer.announce(&base, starting.start(), "b").await.unwrap();
}

#[tokio::test]
async fn a_living_start_that_does_not_answer_is_followed() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let older = &world.consumer;
    let client = older.client(&base);
    let events = client.events("/v1/endpoint/events", Some(0)).await.unwrap();
    let newer = older.copied();
    let starting = newer.begin(None);
    followed(&database, older).await;
    newer.announce(&base, starting.start(), "b").await.unwrap();
    // It was asked, and its stream ends with it.
    let kinds: Vec<String> = events.map(|event| event.kind).collect().await;
    assert!(
        kinds.contains(&"endpoint.presence-asked".to_owned()),
        "{kinds:?}"
    );
}

#[tokio::test]
async fn a_presence_that_another_key_signed_keeps_nobody_out() {
    let (base, world) = new_world().await;
    // Of the other endpoint's start, in the name of the consumer.
    let answer = json!({
        "tenant_id": world.tenant, "endpoint_id": world.consumer.id,
        "other": STANDARD.encode([1; 32]), "signature": STANDARD.encode([2; 64]),
    });
    let url = format!("{base}/v1/endpoint/presence");
    let (status, _, text) = call(As::Nobody, "POST", &url, Some(&answer)).await;
    assert_eq!(status, 401, "{text}");
    // A true one about what nobody asked changes nothing.
    let unasked = world.consumer.answer_presence(&base, StartHash([1; 32]));
    refused(unasked.await, "not-found");
}

#[tokio::test]
async fn the_start_of_a_restored_folder_is_a_collision() {
    let (base, world) = new_world().await;
    let consumer = &world.consumer;
    // What was backed up before the second start.
    let backup = consumer.copied();
    consumer.start(&base).await;
    let grant = consumer.draw(&base, world.pair.id, None).await;
    let restored = backup.begin(None);
    refused(
        backup.announce(&base, restored.start(), "b").await,
        "identity-collided",
    );
    // Nobody knows which of them is the endpoint: it is to be enrolled anew.
    assert_eq!(state_of(&world, consumer).await, EndpointState::Collided);
    assert_eq!(
        bundle_state(&world, grant.bundle.id).await,
        BundleState::Disconnected
    );
    refused(consumer.client(&base).endpoint().await, "identity-collided");
    let next = consumer.begin(None);
    refused(
        consumer.announce(&base, next.start(), "test").await,
        "identity-collided",
    );
}

#[tokio::test]
async fn a_copied_folder_that_started_first_is_found_by_the_owners_next_start() {
    let (base, world) = new_world().await;
    let consumer = &world.consumer;
    let thief = consumer.copied();
    let stolen = thief.begin(None);
    thief
        .announce(&base, stolen.start(), "thief")
        .await
        .unwrap();
    let own = consumer.begin(None);
    refused(
        consumer.announce(&base, own.start(), "test").await,
        "identity-collided",
    );
    assert_eq!(state_of(&world, consumer).await, EndpointState::Collided);
}

#[tokio::test]
async fn a_start_that_another_key_signed_accuses_nobody() {
    let (base, world) = new_world().await;
    let mut forger = world.consumer.copied();
    forger.key = world.producer.key.clone();
    let forged = forger.begin(None);
    refused(
        forger.announce(&base, forged.start(), "b").await,
        "unauthenticated",
    );
    world.consumer.heartbeat(&base, vec![]).await;
    // Of an endpoint that is another tenant's, or nowhere: the same.
    let other = World::new(&base, Policy::default()).await;
    let mut elsewhere = world.consumer.copied();
    elsewhere.tenant = other.tenant;
    let start = elsewhere.begin(None);
    refused(
        elsewhere.announce(&base, start.start(), "b").await,
        "unauthenticated",
    );
    assert_eq!(
        state_of(&world, &world.consumer).await,
        EndpointState::Active
    );
}

/// A process may be killed before or after each of its writes, and its calls be lost on the
/// way there or back: no order of that looks like a theft.
#[tokio::test]
async fn an_honest_kill_between_any_two_writes_accuses_nobody() {
    let (base, world) = new_world().await;
    let endpoint = &world.consumer;
    // Each start: is its record kept, is it sent before it is killed, once or twice, is the
    // answer kept; and does an older one's call arrive only now?
    for round in 0..32u32 {
        let bit = |n: u32| round >> n & 1 == 1;
        let lost = endpoint.copied();
        if !bit(0) {
            // Killed before the record was kept: the same counter comes again, but the start
            // was never sent.
            drop(lost.begin(None));
        }
        let first = endpoint.begin(None);
        if bit(1) {
            endpoint.announce(&base, first.start(), "a").await.unwrap();
        }
        if bit(2) {
            let answered = endpoint.announce(&base, first.start(), "a").await.unwrap();
            assert_eq!(answered.endpoint_id, endpoint.id);
        }
        let second = endpoint.begin(None);
        if bit(3) {
            endpoint.announce(&base, second.start(), "a").await.unwrap();
            // The first one's call was under way all the time.
            let late = endpoint.announce(&base, first.start(), "a").await;
            refused(late, "start-ended");
        }
        if bit(4) {
            // The answer is kept; else the next start names more than it must.
            endpoint.announce(&base, second.start(), "a").await.unwrap();
            endpoint.run(second);
            endpoint.heartbeat(&base, vec![]).await;
        }
        assert_eq!(
            state_of(&world, endpoint).await,
            EndpointState::Active,
            "{round:b}"
        );
    }
    endpoint.start(&base).await;
    endpoint.heartbeat(&base, vec![]).await;
}

#[tokio::test]
async fn people_see_an_endpoints_starts_by_the_page_and_disputes_while_they_last() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let older = &world.consumer;
    for _ in 0..102 {
        older.start(&base).await;
    }
    older.heartbeat(&base, vec![]).await;
    let page = world.operator.starts(older.id).await.unwrap();
    assert_eq!(page.items.len(), 100);
    let latest = &page.items[0];
    assert_eq!((latest.counter, latest.links), (103, 1));
    assert_eq!(latest.start, hex::encode(older.start_hash().0));
    assert_eq!(
        (latest.host.as_deref(), latest.process),
        (Some("test"), Some(7))
    );
    assert!(latest.ended_at.is_none() && page.items[1].ended_at.is_some());
    let path = format!("/v1/endpoints/{}/starts", older.id);
    let rest = format!("{path}?cursor={}", page.next.unwrap());
    let rest: Page<armour_api::EndpointStart> = world.operator.get(&rest).await.unwrap();
    let counters: Vec<u64> = rest.items.iter().map(|start| start.counter).collect();
    assert_eq!((counters, rest.next), (vec![3, 2, 1], None));
    for cursor in ["18446744073709551615", "0"] {
        let url = format!("{base}{path}?cursor={cursor}");
        let token = world.operator_token();
        assert_eq!(call(As::Bearer(&token), "GET", &url, None).await.0, 200);
    }
    let none = world.operator.start_disputes().await.unwrap();
    assert!(none.items.is_empty());
    // Two that both live.
    let newer = older.copied();
    let starting = newer.begin(None);
    let refused_once = async {
        followed(&database, older).await;
        newer.announce(&base, starting.start(), "b").await
    };
    let (answer, ()) = tokio::join!(refused_once, answers_once(base.clone(), older));
    refused(answer, "identity-in-use");
    let dispute = world
        .operator
        .start_disputes()
        .await
        .unwrap()
        .items
        .remove(0);
    assert_eq!(dispute.endpoint_id, older.id);
    assert_eq!(dispute.older.unwrap().counter, 103);
    assert_eq!(
        dispute.newer,
        hex::encode(starting.start().unverified().hash().0)
    );
    assert_eq!(
        (dispute.newer_counter, dispute.newer_host.as_deref()),
        (104, Some("b"))
    );
    // Another tenant sees none of it.
    let other = World::new(&base, Policy::default()).await;
    refused(other.operator.starts(older.id).await, "not-found");
    assert!(
        other
            .operator
            .start_disputes()
            .await
            .unwrap()
            .items
            .is_empty()
    );
}
