//! Streams of events: who hears what, as it is now, and how many there may be.

use armour_ambient::Ambient;
use armour_api::{Event, NewPair, Policy, Role};
use armour_client::Client;
use armour_storage::{Keyring, NewEvent, Store};
use futures::{Stream, StreamExt};
use serde_json::json;

use crate::common::{
    As, MASTER_KEYS, PATIENCE, PLATFORM, World, bound, call, connections, database, replica,
    replica_with,
};

async fn next(events: &mut (impl Stream<Item = Event> + Unpin)) -> Option<Event> {
    let next = tokio::time::timeout(PATIENCE, events.next()).await;
    next.expect("an event, or the stream's end")
}

/// Pairs two parties.
async fn pair(world: &World, consumer_id: uuid::Uuid, producer_id: uuid::Uuid) -> uuid::Uuid {
    let new = NewPair {
        consumer_id,
        producer_id,
        policy: Policy::default(),
    };
    world.operator.create_pair(&new).await.unwrap().id
}

#[tokio::test]
async fn m8_events_of_pairs_that_are_made_later_come_and_those_of_others_do_not() {
    let base = replica(&database().await).await;
    let world = World::new(&base, Policy::default()).await;
    let consumer = world.consumer.client(&base);
    let mut events = consumer.events("/v1/endpoint/events", None).await.unwrap();
    let mut parties = Vec::new();
    for (role, name) in [
        (Role::Producer, "bank"),
        (Role::Producer, "post"),
        (Role::Consumer, "cart"),
    ] {
        parties.push(world.operator.create_party(role, name).await.unwrap().id);
    }
    let [bank, post, cart] = parties[..] else {
        unreachable!()
    };
    pair(&world, cart, bank).await;
    let own = pair(&world, world.pair.consumer_id, post).await;
    let told = next(&mut events).await.unwrap();
    assert_eq!(
        (told.kind.as_str(), told.pair_id),
        ("pair.created", Some(own))
    );
    let path = format!("/v1/pairs/{own}/disconnect");
    let reason = json!({ "reason": "test" });
    let _: serde_json::Value = world.operator.post(&path, &reason).await.unwrap();
    let told = next(&mut events).await.unwrap();
    assert_eq!(
        (told.kind.as_str(), told.pair_id),
        ("pair.disconnected", Some(own))
    );
}

#[tokio::test]
async fn m8_a_stream_ends_when_its_reader_is_not_who_it_was() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let reader = json!({ "name": "reader", "role": "operator" });
    let made: armour_api::CreatedSecret = world
        .operator
        .post("/v1/api-tokens", &reader)
        .await
        .unwrap();
    let client = Client::new(&base, &made.token).unwrap();
    let mut events = client.events("/v1/events", None).await.unwrap();
    let mut tenant = bound(&database, world.tenant).await;
    sqlx::query("UPDATE api_tokens SET role = 'auditor' WHERE token_id = $1")
        .bind(made.id)
        .execute(&mut tenant)
        .await
        .unwrap();
    assert_eq!(next(&mut events).await, None);
}

#[tokio::test]
async fn m3_no_more_streams_are_opened_than_may_be_and_one_that_ends_makes_room() {
    let base = replica_with(&database().await, &["--event-streams", "2"]).await;
    let world = World::new(&base, Policy::default()).await;
    let (url, token) = (format!("{base}/v1/events"), world.operator_token());
    let open = async || {
        let request = reqwest::Client::new().get(&url).bearer_auth(&token);
        request.send().await.unwrap()
    };
    let mut held = [open().await, open().await].map(Some);
    let first = held[0].as_ref().unwrap();
    assert_eq!(first.status(), 200);
    // For proxies that hold answers back until they have much of them.
    assert_eq!(first.headers()["x-accel-buffering"], "no");
    let refused = open().await;
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    let text = refused.text().await.unwrap();
    assert!(text.contains("too-many-streams"), "{text}");
    held[0] = None;
    crate::common::until("room", async || {
        (open().await.status() == 200).then_some(())
    })
    .await;
    // What is no stream is served all the same.
    let pairs = format!("{base}/v1/pairs");
    assert_eq!(call(As::Bearer(&token), "GET", &pairs, None).await.0, 200);
}

/// The store of a process that announces nothing.
async fn silent_store(database: &str) -> Store {
    let mut keyring = Keyring::new();
    keyring.add(1, MASTER_KEYS[0]).unwrap();
    let to = connections(database, 4);
    Store::connect(&to, std::sync::Arc::new(keyring), Ambient::system())
        .await
        .unwrap()
}

/// Records an event of a tenant.
async fn record(store: &Store, tenant: uuid::Uuid) {
    let mut tx = store.tenant(tenant).await.unwrap();
    let pair = tx.new_id();
    let event = NewEvent::PairCreated { pair };
    tx.events().record(event).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_tenants_transaction_notifies_nobody_and_its_news_come_once_after_it() {
    let database = database().await;
    let base = replica(&database).await;
    let mut tenants = Vec::new();
    for name in ["one", "two"] {
        let platform = Client::new(&base, PLATFORM).unwrap();
        tenants.push(platform.create_tenant(name).await.unwrap().tenant.id);
    }
    let store = silent_store(&database).await;
    let mut listener = store.listen().await.unwrap();
    for _ in 0..3 {
        for tenant in &tenants {
            record(&store, *tenant).await;
        }
    }
    // What was notified before this would be heard before it.
    store.notify("so far").await.unwrap();
    assert_eq!(listener.recv().await.unwrap().payload(), "so far");
    let mut announcer = store.announcer().await.unwrap();
    announcer.wait().await;
    announcer.announce().await.unwrap();
    store.notify("then").await.unwrap();
    let mut heard = Vec::new();
    while heard.last().is_none_or(|last| last != "then") {
        heard.push(listener.recv().await.unwrap().payload().to_owned());
    }
    tenants.sort_unstable();
    let mut expected: Vec<String> = tenants.iter().map(uuid::Uuid::to_string).collect();
    expected.push("then".into());
    assert_eq!(heard, expected);
}

#[tokio::test]
async fn events_of_a_replica_that_ended_before_it_announced_them_come_all_the_same() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let mut events = world.operator.events("/v1/events", None).await.unwrap();
    let store = silent_store(&database).await;
    record(&store, world.tenant).await;
    drop(store);
    while next(&mut events).await.unwrap().kind != "pair.created" {}
}
