//! What ends bundles at once: it touches what is of use, in one order of locks, and nothing that
//! is under way slips past it.

use std::{sync::atomic::AtomicBool, time::Duration};

use armour_api::{
    Bundle, BundleState, Endpoint, EndpointState, Page, Pair, PairState, Policy, Role,
};
use armour_protocol::v2::{
    body::Kind,
    identity::body::{BundleRequest, LinkBody, NO_BUNDLE},
};
use serde_json::json;
use sqlx::Connection;
use uuid::Uuid;

use crate::common::{
    As, PLATFORM, World, bound, call, database, enrol, hold, mark, replica, until, wait_for,
};

const JOURNAL: &str = "journals WHERE tenant_id";

async fn bundles(world: &World) -> Vec<Bundle> {
    let page: Page<Bundle> = world.operator.get("/v1/bundles").await.unwrap();
    page.items
}

async fn revoke(world: &World, endpoint: Uuid) -> Endpoint {
    let path = format!("/v1/endpoints/{endpoint}/revoke");
    let why = json!({ "reason": "test" });
    world.operator.post(&path, &why).await.unwrap()
}

async fn disconnect(world: &World) -> Pair {
    let path = format!("/v1/pairs/{}/disconnect", world.pair.id);
    let why = json!({ "reason": "test" });
    world.operator.post(&path, &why).await.unwrap()
}

/// The draw has looked for its producer's endpoint when another one is heard of, which is revoked
/// while the bundle is minted.
#[tokio::test]
async fn h2_no_bundle_is_of_use_with_a_producers_endpoint_that_is_revoked_meanwhile() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let other = enrol(&world.operator, Role::Producer, world.pair.producer_id).await;
    other.serve(&base).await;
    let mut watcher = bound(&database, world.tenant).await;
    let mut holder = bound(&database, world.tenant).await;
    let mut pairs = holder.begin().await.unwrap();
    hold(&mut pairs, "pairs WHERE pair_id", world.pair.id).await;
    let never = AtomicBool::new(false);
    // The draw has both endpoints of the producer locked that it may come to, so the revocation
    // waits for it, and ends what it has drawn.
    let (drawn, revoked) = tokio::join!(world.consumer.try_draw(&base, world.pair.id), async {
        wait_for(&mut watcher, 1, &never).await;
        let (revoked, ()) = tokio::join!(revoke(&world, other.id), async {
            wait_for(&mut watcher, 2, &never).await;
            pairs.commit().await.unwrap();
        });
        revoked
    });
    assert_eq!(revoked.state, EndpointState::Revoked);
    let drawn = drawn.unwrap();
    let bundle: Bundle = world
        .operator
        .get(&format!("/v1/bundles/{drawn}"))
        .await
        .unwrap();
    let is_with_other = bundle.producer_endpoint_id == other.id;
    let expected = match is_with_other {
        true => BundleState::Disconnected,
        false => BundleState::Active,
    };
    assert_eq!(bundle.state, expected);
    // The next one is with the endpoint that there is.
    let next = world.consumer.draw(&base, world.pair.id, None).await;
    assert_eq!(next.producer.endpoint_id, world.producer.id);
}

/// It was sent before the revocation, and is looked at after it.
#[tokio::test]
async fn h2_a_draw_that_is_queued_behind_its_endpoints_revocation_gets_no_bundle() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    world.bundle().await;
    let mut watcher = bound(&database, world.tenant).await;
    let mut holder = bound(&database, world.tenant).await;
    let mut held = holder.begin().await.unwrap();
    hold(&mut held, JOURNAL, world.tenant).await;
    let never = AtomicBool::new(false);
    let request = BundleRequest {
        pair: *world.pair.id.as_bytes(),
        draw: world.consumer.next_draw(world.pair.id),
        replaces: NO_BUNDLE,
    };
    let link = world.consumer.sign(LinkBody::Request(vec![request]));
    let (revoked, answer) = tokio::join!(revoke(&world, world.consumer.id), async {
        wait_for(&mut watcher, 1, &never).await;
        let (answer, ()) = tokio::join!(world.consumer.send(&base, &link), async {
            wait_for(&mut watcher, 2, &never).await;
            held.commit().await.unwrap();
        });
        answer
    });
    assert_eq!(revoked.state, EndpointState::Revoked);
    assert!(answer.unwrap_err().is("endpoint-revoked"));
    for bundle in bundles(&world).await {
        assert_eq!(bundle.state, BundleState::Disconnected);
    }
}

#[tokio::test]
async fn h4_a_disconnect_leaves_alone_what_was_superseded_long_ago() {
    let database = database().await;
    let base = replica(&database).await;
    for switch in ["pair", "endpoint", "fence"] {
        let world = World::new(&base, Policy::default()).await;
        let mut drawn = Vec::new();
        for _ in 0..4 {
            drawn.push(world.bundle().await.id);
        }
        let mut connection = bound(&database, world.tenant).await;
        sqlx::query(
            "UPDATE bundles SET superseded_at = superseded_at - interval '2 hours'
             WHERE bundle_id = ANY($1)",
        )
        .bind(&drawn[..2])
        .execute(&mut connection)
        .await
        .unwrap();
        match switch {
            "pair" => drop(disconnect(&world).await),
            "endpoint" => drop(revoke(&world, world.producer.id).await),
            _ => {
                let why = json!({ "reason": "test" });
                let url = format!("{base}/v1/tenants/{}/fence", world.tenant);
                let (status, ..) = call(As::Bearer(PLATFORM), "POST", &url, Some(&why)).await;
                assert_eq!(status, 201);
            }
        }
        for bundle in bundles(&world).await {
            // One was superseded just now, and a call may be under way on it.
            let expected = match drawn[..2].contains(&bundle.id) {
                true => BundleState::Superseded,
                false => BundleState::Disconnected,
            };
            assert_eq!(bundle.state, expected, "{switch}");
        }
        let told: Vec<Uuid> =
            sqlx::query_scalar("SELECT bundle_id FROM events WHERE kind = 'bundle.disconnected'")
                .fetch_all(&mut connection)
                .await
                .unwrap();
        assert_eq!(told.len(), 2, "{switch}");
        // Who holds one still is told that it is over.
        let ack = world.consumer.heartbeat(&base, drawn.clone()).await;
        let states: Vec<BundleState> = ack.bundles.iter().map(|status| status.state).collect();
        let (old, new) = (BundleState::Retired, BundleState::Disconnected);
        assert_eq!(states, [old, old, new, new], "{switch}");
    }
}

/// One has the bundle and waits for the journal, the other had the journal and waited for the
/// bundle.
#[tokio::test]
async fn m1_a_retirement_and_its_peers_revocation_do_not_wait_for_each_other() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let bundle = world.bundle().await;
    let lane = bundle.plain(0, 1);
    let mut watcher = bound(&database, world.tenant).await;
    let mut holder = bound(&database, world.tenant).await;
    let mut held = holder.begin().await.unwrap();
    hold(&mut held, JOURNAL, world.tenant).await;
    let never = AtomicBool::new(false);
    let (revoked, ()) = tokio::join!(revoke(&world, world.producer.id), async {
        wait_for(&mut watcher, 1, &never).await;
        let marks = vec![mark(&lane, Kind::Ticket)];
        let retired = [(bundle.id, marks)];
        tokio::join!(world.consumer.retire(&base, &retired, false), async {
            wait_for(&mut watcher, 2, &never).await;
            held.commit().await.unwrap();
        });
    });
    assert_eq!(revoked.state, EndpointState::Revoked);
    let deadlocks: i64 = sqlx::query_scalar(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()",
    )
    .fetch_one(&mut watcher)
    .await
    .unwrap();
    assert_eq!(deadlocks, 0);
}

/// Whoever waits first finds the deadlock, and is ended: that is the call, unless this machine
/// was slow. Then it is tried again.
#[tokio::test]
async fn m1_a_call_that_the_database_ends_for_a_deadlock_is_done_again() {
    let database = database().await;
    let base = replica(&database).await;
    loop {
        let world = World::new(&base, Policy::default()).await;
        let bundle = world.bundle().await;
        let mut watcher = bound(&database, world.tenant).await;
        let mut holder = bound(&database, world.tenant).await;
        let mut held = holder.begin().await.unwrap();
        hold(&mut held, JOURNAL, world.tenant).await;
        let never = AtomicBool::new(false);
        let (pair, ended) = tokio::join!(disconnect(&world), async {
            wait_for(&mut watcher, 1, &never).await;
            let wanted = sqlx::query("SELECT 1 FROM pairs WHERE pair_id = $1 FOR UPDATE")
                .bind(world.pair.id)
                .execute(&mut *held)
                .await;
            match wanted {
                Ok(_) => {
                    held.commit().await.unwrap();
                    false
                }
                Err(_) => {
                    held.rollback().await.unwrap();
                    true
                }
            }
        });
        assert_eq!(pair.state, PairState::Disconnected);
        let all = bundles(&world).await;
        assert_eq!(all[0].id, bundle.id);
        assert_eq!(all[0].state, BundleState::Disconnected);
        if !ended {
            return;
        }
    }
}

#[tokio::test]
async fn a_disconnect_is_carried_through_though_its_caller_has_gone() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    world.bundle().await;
    let mut watcher = bound(&database, world.tenant).await;
    let mut holder = bound(&database, world.tenant).await;
    let mut held = holder.begin().await.unwrap();
    hold(&mut held, JOURNAL, world.tenant).await;
    let never = AtomicBool::new(false);
    tokio::select! {
        _ = disconnect(&world) => panic!("it waits for the journal"),
        () = wait_for(&mut watcher, 1, &never) => {}
    }
    // Whatever the replica does once it sees that nobody waits for the answer, it does now.
    tokio::time::sleep(Duration::from_millis(500)).await;
    held.commit().await.unwrap();
    until("the pair is disconnected", async || {
        let path = format!("/v1/pairs/{}", world.pair.id);
        let pair: Pair = world.operator.get(&path).await.unwrap();
        (pair.state == PairState::Disconnected).then_some(())
    })
    .await;
}

/// A network fails.
#[tokio::test]
async fn endpoints_that_are_lost_all_at_once_are_told_of_in_transactions_of_some() {
    const LOST: i64 = 1_200;
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let mut connection = bound(&database, world.tenant).await;
    sqlx::query(
        "INSERT INTO endpoints (tenant_id, endpoint_id, role, party_id, name, signing_key, kem_key,
                                version, last_seen_at, enrol_seq, enrol_entry)
         SELECT tenant_id, gen_random_uuid(), role, party_id, name, signing_key, kem_key, version,
                now() - interval '1 day', enrol_seq, enrol_entry
         FROM endpoints, generate_series(1, $2) WHERE endpoint_id = $1",
    )
    .bind(world.producer.id)
    .bind(LOST)
    .execute(&mut connection)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO endpoint_starts (tenant_id, endpoint_id, hash, counter, start, head_hash)
         SELECT s.tenant_id, e.endpoint_id, s.hash, s.counter, s.start, s.head_hash
         FROM endpoint_starts s, endpoints e
         WHERE s.endpoint_id = $1 AND e.last_seen_at < now() - interval '1 hour'",
    )
    .bind(world.producer.id)
    .execute(&mut connection)
    .await
    .unwrap();
    let transactions = until("all are told of", async || {
        // So many are waited for at first, and so is a service that has just come.
        for over in [
            "INSERT INTO unbroken_service (since, seen_at) VALUES (now() - interval '1 day', now())
             ON CONFLICT (one) DO UPDATE SET since = excluded.since, seen_at = excluded.seen_at",
            "UPDATE journals SET silence_at = now() - interval '1 hour'",
        ] {
            sqlx::query(over).execute(&mut connection).await.unwrap();
        }
        let (told, transactions): (i64, i64) = sqlx::query_as(
            "SELECT count(*), count(DISTINCT xmin::text) FROM events WHERE kind = 'endpoint.lost'",
        )
        .fetch_one(&mut connection)
        .await
        .unwrap();
        (told == LOST).then_some(transactions)
    })
    .await;
    assert_eq!(transactions, 3, "500 in each");
}
