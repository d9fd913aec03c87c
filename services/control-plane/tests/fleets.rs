//! Fleets: which of a producer's endpoints consumers' endpoints hold bundles with, and what becomes
//! of those that drain, fall silent or claim each other's address.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::AtomicBool,
};

use armour_api::{
    AuditEntry, BundleState, Endpoint, EndpointState, Heartbeat, LinkOutcome, NewPair, Page, Pair,
    PairState, PairTraffic, Phase, Policy, Problem, ProducerPhase, Role,
};
use armour_control_plane::find_lost_endpoints;
use armour_protocol::v2::{
    body::Kind,
    identity::body::{BundleRequest, Disowned, LinkBody, NO_BUNDLE},
};
use armour_storage::Store;
use chrono::Duration;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::common::{
    TestBundle, TestEndpoint, World, app_with, bound, database, enrol, mark, serve, until, wait_for,
};

/// A tenant whose pair has so many endpoints on each side, all of which have started.
struct Fleet {
    base: String,
    database: String,
    world: World,
    consumers: Vec<TestEndpoint>,
    producers: Vec<TestEndpoint>,
}

impl Fleet {
    async fn new(consumers: usize, producers: usize) -> Self {
        let database = database().await;
        let base = serve(app_with(&database, &[]).await.expect("start")).await;
        Self::at(database, base, consumers, producers).await
    }

    async fn at(database: String, base: String, consumers: usize, producers: usize) -> Self {
        let world = World::new(&base, Policy::default()).await;
        // What the world has is not of these.
        assert!(world.consumer.retire(&base, &[], true).await.ended);
        assert!(world.producer.retire(&base, &[], true).await.ended);
        let mut fleet = Self {
            base,
            database,
            world,
            consumers: Vec::new(),
            producers: Vec::new(),
        };
        for _ in 0..producers {
            fleet.add_producer().await;
        }
        for _ in 0..consumers {
            fleet.add_consumer().await;
        }
        // Nobody is silent, however long a test takes.
        let mut sql = fleet.sql().await;
        sqlx::query("UPDATE endpoints SET last_seen_at = now() + interval '1 hour'")
            .execute(&mut sql)
            .await
            .unwrap();
        fleet
    }

    async fn add_producer(&mut self) -> usize {
        let party = self.world.pair.producer_id;
        let endpoint = enrol(&self.world.operator, Role::Producer, party).await;
        endpoint.serve(&self.base).await;
        self.producers.push(endpoint);
        self.producers.len() - 1
    }

    async fn add_consumer(&mut self) -> usize {
        let party = self.world.pair.consumer_id;
        let endpoint = enrol(&self.world.operator, Role::Consumer, party).await;
        endpoint.start(&self.base).await;
        self.consumers.push(endpoint);
        self.consumers.len() - 1
    }

    /// One more bundle of a consumer's endpoint, or one in place of another; and how many it
    /// should hold.
    async fn draw(&self, consumer: usize, replaces: Option<Uuid>) -> (Result<Uuid, Problem>, u32) {
        self.consumers[consumer]
            .try_draw_for(&self.base, self.world.pair.id, replaces)
            .await
    }

    /// As many bundles as a consumer's endpoint should hold.
    async fn draw_all(&self, consumer: usize) -> Vec<Uuid> {
        let mut drawn = Vec::new();
        loop {
            let (bundle, wanted) = self.draw(consumer, None).await;
            drawn.push(bundle.expect("a bundle"));
            if drawn.len() >= wanted as usize {
                return drawn;
            }
        }
    }

    /// Active bundles of each of the producer's endpoints.
    async fn spread(&self) -> Vec<usize> {
        let mut counts: BTreeMap<Uuid, usize> = BTreeMap::new();
        let pair = Some(self.world.pair.id);
        for bundle in self.world.operator.bundles(pair).every().await.unwrap() {
            if bundle.state == BundleState::Active {
                *counts.entry(bundle.producer_endpoint_id).or_default() += 1;
            }
        }
        let producers = self.producers.iter();
        producers
            .map(|producer| counts.get(&producer.id).copied().unwrap_or_default())
            .collect()
    }

    /// The producer's endpoint that a bundle is with.
    async fn producer_of(&self, bundle: Uuid) -> Uuid {
        let bundle = self.world.operator.bundle(bundle).await.unwrap();
        bundle.producer_endpoint_id
    }

    async fn told(&self, producer: usize, phase: Phase, zone: Option<&str>) {
        tell(&self.base, &self.producers[producer], phase, zone).await;
    }

    /// What the consumer's endpoint is told of its one pair.
    async fn assigned(&self, consumer: usize) -> armour_api::PairAssignment {
        let client = self.consumers[consumer].client(&self.base);
        client.assignments().await.unwrap().pairs.remove(0)
    }

    async fn version(&self, consumer: usize) -> u64 {
        let ack = self.consumers[consumer].heartbeat(&self.base, vec![]).await;
        ack.assignments
    }

    async fn sql(&self) -> PgConnection {
        bound(&self.database, self.world.tenant).await
    }

    /// No endpoint has begun to serve or ceased to for long.
    async fn settled(&self) {
        let mut sql = self.sql().await;
        sqlx::query("UPDATE endpoints SET phase_at = now() - interval '1 hour'")
            .execute(&mut sql)
            .await
            .unwrap();
    }

    /// The last change was so many seconds ago.
    async fn changed_ago(&self, seconds: f64) {
        let mut sql = self.sql().await;
        sqlx::query("UPDATE fleet_changes SET changed_at = now() - make_interval(secs => $1)")
            .bind(seconds)
            .execute(&mut sql)
            .await
            .unwrap();
    }

    async fn endpoint(&self, id: Uuid) -> Endpoint {
        let path = format!("/v1/endpoints/{id}");
        self.world.operator.get(&path).await.unwrap()
    }

    /// How often this was told of in the audit log.
    async fn entries(&self, action: &str) -> Vec<AuditEntry> {
        let path = format!("/v1/audit?action={action}");
        let page: Page<AuditEntry> = self.world.operator.get(&path).await.unwrap();
        page.items
    }

    async fn events(&self, kind: &str) -> i64 {
        let mut sql = self.sql().await;
        sqlx::query_scalar("SELECT count(*) FROM events WHERE kind = $1")
            .bind(kind)
            .fetch_one(&mut sql)
            .await
            .unwrap()
    }
}

async fn tell(base: &str, endpoint: &TestEndpoint, phase: Phase, zone: Option<&str>) {
    let heartbeat = Heartbeat {
        phase: Some(phase),
        zone: zone.map(str::to_owned),
        ..Heartbeat::default()
    };
    endpoint.beat(base, &heartbeat).await;
}

fn is(refused: Result<Uuid, Problem>, kind: &str) -> bool {
    refused.is_err_and(|problem| problem.kind() == Some(kind))
}

#[tokio::test]
async fn an_endpoint_holds_one_bundle_with_each_of_several_producers() {
    let fleet = Fleet::new(1, 3).await;
    let drawn = fleet.draw_all(0).await;
    assert_eq!(drawn.len(), 3);
    assert_eq!(fleet.spread().await, [1, 1, 1]);
    let (refused, wanted) = fleet.draw(0, None).await;
    assert!(is(refused, "bundles-enough"));
    assert_eq!(wanted, 3);
    // A renewal supersedes the one that it names, and no other.
    let (renewed, _) = fleet.draw(0, Some(drawn[1])).await;
    let (renewed, before) = (renewed.unwrap(), fleet.producer_of(drawn[1]).await);
    assert_eq!(fleet.producer_of(renewed).await, before);
    let of = async |id| fleet.world.operator.bundle(id).await.unwrap().state;
    assert_eq!(of(drawn[0]).await, BundleState::Active);
    assert_eq!(of(drawn[1]).await, BundleState::Superseded);
    assert_eq!(of(drawn[2]).await, BundleState::Active);
    // What is of no use any more makes no place.
    let (refused, _) = fleet.draw(0, Some(drawn[1])).await;
    assert!(is(refused, "bundles-enough"));
    // Nor does what a restored database does not know, or what is somebody else's.
    let (refused, _) = fleet.draw(0, Some(fleet.world.pair.id)).await;
    assert!(is(refused, "bundles-enough"));
    let mut fleet = fleet;
    let other = fleet.add_consumer().await;
    let (refused, _) = fleet.draw(other, Some(renewed)).await;
    assert!(is(refused, "not-found"));
}

#[tokio::test]
async fn several_draws_of_a_moment_go_to_several_producers_and_late_ones_are_refused() {
    let fleet = Fleet::new(1, 3).await;
    let (consumer, pair) = (&fleet.consumers[0], fleet.world.pair.id);
    let request = |draw, replaces: Option<Uuid>| BundleRequest {
        pair: *pair.as_bytes(),
        draw,
        replaces: replaces.map_or(NO_BUNDLE, Uuid::into_bytes),
    };
    let draw = async |requests| {
        let answer = consumer
            .tell(&fleet.base, LinkBody::Request(requests))
            .await;
        match answer.outcome {
            Some(LinkOutcome::Bundles { items }) => items,
            other => panic!("{other:?}"),
        }
    };
    let items = draw(vec![request(1, None), request(2, None), request(3, None)]).await;
    let drawn: BTreeSet<Uuid> = items.iter().filter_map(|item| item.bundle_id).collect();
    assert_eq!(drawn.len(), 3, "{items:?}");
    assert_eq!(fleet.spread().await, [1, 1, 1]);
    let late = draw(vec![request(2, items[0].bundle_id)]).await.remove(0);
    assert_eq!(late.problem.unwrap().kind(), Some("draw-over"));
    assert_eq!(fleet.spread().await, [1, 1, 1]);
}

#[tokio::test]
async fn twenty_on_twenty_have_between_half_and_twice_their_share() {
    let fleet = Fleet::new(20, 20).await;
    for consumer in 0..20 {
        assert_eq!(fleet.draw_all(consumer).await.len(), 3);
    }
    let spread = fleet.spread().await;
    assert!(
        spread.iter().all(|count| (2..=6).contains(count)),
        "{spread:?}"
    );
    assert_eq!(spread.iter().sum::<usize>(), 60);
}

#[tokio::test]
async fn of_those_with_as_few_bundles_the_one_of_the_own_zone_comes_first() {
    let fleet = Fleet::new(1, 4).await;
    for producer in 0..4 {
        let zone = if producer == 2 { "east" } else { "west" };
        fleet.told(producer, Phase::Serving, Some(zone)).await;
    }
    tell(
        &fleet.base,
        &fleet.consumers[0],
        Phase::Serving,
        Some("east"),
    )
    .await;
    let (first, _) = fleet.draw(0, None).await;
    assert_eq!(
        fleet.producer_of(first.unwrap()).await,
        fleet.producers[2].id
    );
}

#[tokio::test]
async fn nothing_is_drawn_with_who_does_not_serve_drains_or_is_lost() {
    let fleet = Fleet::new(1, 3).await;
    fleet.told(0, Phase::NotServing, None).await;
    fleet.told(1, Phase::Draining, None).await;
    let (drawn, wanted) = fleet.draw(0, None).await;
    let drawn = drawn.unwrap();
    // The one that does not serve may again.
    assert_eq!(wanted, 2);
    assert_eq!(fleet.producer_of(drawn).await, fleet.producers[2].id);
    let mut sql = fleet.sql().await;
    sqlx::query("UPDATE endpoints SET lost_at = now() WHERE endpoint_id = $1")
        .bind(fleet.producers[2].id)
        .execute(&mut sql)
        .await
        .unwrap();
    assert!(is(fleet.draw(0, Some(drawn)).await.0, "no-producer"));
    let assigned = fleet.assigned(0).await;
    assert_eq!(assigned.bundles[0].phase, ProducerPhase::Gone);
    assert_eq!(assigned.wanted, 1);
    // One is heard of again, the other one's upstream is.
    fleet.settled().await;
    fleet.told(0, Phase::Serving, None).await;
    let (next, _) = fleet.draw(0, Some(drawn)).await;
    assert_eq!(
        fleet.producer_of(next.unwrap()).await,
        fleet.producers[0].id
    );
    fleet.told(2, Phase::Serving, None).await;
    let (next, wanted) = fleet.draw(0, None).await;
    assert_eq!(
        fleet.producer_of(next.unwrap()).await,
        fleet.producers[2].id
    );
    assert_eq!(wanted, 2);
    // A start that follows says that it serves.
    fleet.producers[1].serve(&fleet.base).await;
    let (next, _) = fleet.draw(0, None).await;
    assert_eq!(
        fleet.producer_of(next.unwrap()).await,
        fleet.producers[1].id
    );
}

#[tokio::test]
async fn a_start_that_has_said_nothing_yet_attracts_no_draws() {
    let fleet = Fleet::new(1, 2).await;
    let held = fleet.draw_all(0).await;
    // It falls over after each start: with none of its bundles left it would come first.
    fleet.producers[0].start(&fleet.base).await;
    let (drawn, _) = fleet.draw(0, Some(held[0])).await;
    if let Ok(drawn) = drawn {
        assert_eq!(fleet.producer_of(drawn).await, fleet.producers[1].id);
    }
    assert_eq!(fleet.spread().await[0], 0);
    let path = format!("/v1/pairs/{}/traffic", fleet.world.pair.id);
    let seen: PairTraffic = fleet.world.operator.get(&path).await.unwrap();
    assert_eq!(seen.serving, 1);
    // Its first sign of life is told of, and it is drawn with from then on.
    let (before, events) = (
        changes(&fleet).await,
        fleet.events("assignments.changed").await,
    );
    fleet.told(0, Phase::Serving, None).await;
    assert!(changes(&fleet).await > before);
    assert!(fleet.events("assignments.changed").await > events);
    let (drawn, _) = fleet.draw(0, None).await;
    let drawn = fleet.producer_of(drawn.unwrap()).await;
    assert_eq!(drawn, fleet.producers[0].id);
}

#[tokio::test]
async fn the_tenants_journal_is_free_while_a_heartbeat_that_changes_a_phase_is_answered() {
    let fleet = Fleet::new(1, 1).await;
    let drawn = fleet.draw_all(0).await.remove(0);
    let pair = fleet.world.pair.id;
    let disconnected = fleet.world.operator.disconnect_pair(pair, "test").await;
    disconnected.unwrap();
    let (mut watcher, mut holder) = (fleet.sql().await, fleet.sql().await);
    let mut held = holder.begin().await.unwrap();
    // What it acknowledges waits for the bundle.
    sqlx::query("SELECT FROM bundles WHERE bundle_id = $1 FOR UPDATE")
        .bind(drawn)
        .execute(&mut *held)
        .await
        .unwrap();
    let never = AtomicBool::new(false);
    tokio::join!(fleet.told(0, Phase::NotServing, None), async {
        wait_for(&mut watcher, 1, &never).await;
        let free = "SELECT FROM journals FOR UPDATE NOWAIT";
        sqlx::query(free).execute(&mut watcher).await.unwrap();
        held.commit().await.unwrap();
    });
}

#[tokio::test]
async fn a_producers_sign_of_life_waits_for_no_draw() {
    let fleet = Fleet::new(1, 1).await;
    let (mut watcher, mut holder) = (fleet.sql().await, fleet.sql().await);
    let mut held = holder.begin().await.unwrap();
    sqlx::query("SELECT FROM pairs WHERE pair_id = $1 FOR UPDATE")
        .bind(fleet.world.pair.id)
        .execute(&mut *held)
        .await
        .unwrap();
    let never = AtomicBool::new(false);
    // The draw has the producer's endpoint locked, and waits for the pair.
    let ((drawn, _), ()) = tokio::join!(fleet.draw(0, None), async {
        wait_for(&mut watcher, 1, &never).await;
        fleet.told(0, Phase::Serving, Some("east")).await;
        held.commit().await.unwrap();
    });
    assert!(drawn.is_ok());
}

#[tokio::test]
async fn a_check_that_fails_at_all_producers_shrinks_no_consumers_bundles() {
    let fleet = Fleet::new(1, 3).await;
    fleet.draw_all(0).await;
    for producer in 0..3 {
        fleet.told(producer, Phase::NotServing, None).await;
    }
    assert_eq!(fleet.assigned(0).await.wanted, 3);
    assert_eq!(fleet.spread().await, [1, 1, 1]);
}

#[tokio::test]
async fn who_is_heard_of_every_30_s_by_policy_is_not_silent_after_11() {
    let fleet = Fleet::new(2, 3).await;
    let mut sql = fleet.sql().await;
    let rare = "UPDATE pairs SET policy = policy || '{\"heartbeat_interval_ms\": 30000}'";
    sqlx::query(rare).execute(&mut sql).await.unwrap();
    // It has the fewest bundles.
    fleet.told(0, Phase::NotServing, None).await;
    for _ in 0..2 {
        fleet.draw(0, None).await.0.unwrap();
    }
    fleet.settled().await;
    fleet.told(0, Phase::Serving, None).await;
    set_seen(&fleet, 0, 25).await;
    let (drawn, _) = fleet.draw(1, None).await;
    let drawn = fleet.producer_of(drawn.unwrap()).await;
    assert_eq!(drawn, fleet.producers[0].id);
}

#[tokio::test]
async fn who_was_heard_of_by_an_earlier_control_plane_serves_without_a_phase() {
    let fleet = Fleet::new(1, 1).await;
    let mut sql = fleet.sql().await;
    let silent = "UPDATE endpoints SET phase = NULL, last_seen_at = now()";
    sqlx::query(silent).execute(&mut sql).await.unwrap();
    assert!(fleet.draw(0, None).await.0.is_ok());
    assert_eq!(
        fleet.assigned(0).await.bundles[0].phase,
        ProducerPhase::Serving
    );
}

#[tokio::test]
async fn consumers_are_told_that_a_producer_does_not_serve_and_no_other_tenant_is() {
    let mut fleet = Fleet::new(1, 2).await;
    let other = Fleet::at(fleet.database.clone(), fleet.base.clone(), 1, 1).await;
    fleet.draw_all(0).await;
    other.draw_all(0).await;
    let unchanged = changes(&other).await;
    let mut before = changes(&fleet).await;
    let mut changed = async |fleet: &Fleet, what: &str| {
        let now = changes(fleet).await;
        assert!(now > before, "{what}");
        before = now;
    };
    fleet.told(0, Phase::NotServing, None).await;
    changed(&fleet, "it does not serve").await;
    let assigned = fleet.assigned(0).await;
    let phases: BTreeMap<Uuid, ProducerPhase> = assigned
        .bundles
        .iter()
        .map(|one| (one.producer_endpoint_id, one.phase))
        .collect();
    assert_eq!(phases[&fleet.producers[0].id], ProducerPhase::NotServing);
    assert_eq!(phases[&fleet.producers[1].id], ProducerPhase::Serving);
    // A failing check shrinks nothing.
    assert_eq!(assigned.wanted, 2);
    fleet.told(0, Phase::Draining, None).await;
    assert_eq!(fleet.assigned(0).await.wanted, 1);
    changed(&fleet, "it drains").await;
    let events = fleet.events("assignments.changed").await;
    // The same again is no change.
    fleet.told(0, Phase::Draining, None).await;
    assert_eq!(fleet.events("assignments.changed").await, events);
    assert!(
        fleet.producers[0]
            .retire(&fleet.base, &[], true)
            .await
            .ended
    );
    changed(&fleet, "it has left").await;
    let fresh = fleet.add_producer().await;
    changed(&fleet, "another one has started").await;
    let path = format!("/v1/endpoints/{}/revoke", fleet.producers[fresh].id);
    let reason = json!({ "reason": "sold" });
    let _: Endpoint = fleet.world.operator.post(&path, &reason).await.unwrap();
    changed(&fleet, "it is revoked").await;
    assert_eq!(changes(&other).await, unchanged);
    // Each is told of its own.
    let own = other.assigned(0).await;
    assert_eq!(own.bundles.len(), 1);
    assert_eq!(own.bundles[0].producer_endpoint_id, other.producers[0].id);
    assert_ne!(fleet.version(0).await, 0);
}

async fn changes(fleet: &Fleet) -> i64 {
    let mut sql = fleet.sql().await;
    sqlx::query_scalar("SELECT coalesce(sum(number), 0)::bigint FROM fleet_changes")
        .fetch_one(&mut sql)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_change_of_a_producer_is_told_to_its_own_consumers_and_to_no_others_of_the_tenant() {
    let fleet = Fleet::new(1, 1).await;
    let operator = &fleet.world.operator;
    let party = async |role, name| operator.create_party(role, name).await.unwrap();
    let consumer = party(Role::Consumer, "another shop").await;
    let producer = party(Role::Producer, "another stock").await;
    let new = NewPair {
        consumer_id: consumer.id,
        producer_id: producer.id,
        policy: Policy::default(),
    };
    operator.create_pair(&new).await.unwrap();
    let apart = enrol(operator, Role::Consumer, consumer.id).await;
    apart.start(&fleet.base).await;
    let apart_number = async || apart.heartbeat(&fleet.base, vec![]).await.assignments;
    let (own, others) = (fleet.version(0).await, apart_number().await);
    fleet.told(0, Phase::NotServing, None).await;
    assert_ne!(fleet.version(0).await, own);
    assert_eq!(apart_number().await, others);
    let serves = enrol(operator, Role::Producer, producer.id).await;
    serves.serve(&fleet.base).await;
    assert_ne!(apart_number().await, others);
}

#[tokio::test]
async fn of_those_whose_producer_has_changed_only_who_is_to_move_asks_again() {
    let mut fleet = Fleet::new(8, 2).await;
    for consumer in 0..8 {
        fleet.draw_all(consumer).await;
    }
    for _ in 0..2 {
        fleet.add_producer().await;
    }
    let (mut moving, mut still) = (0, 0);
    for seconds in [1.0, 6.0] {
        fleet.changed_ago(seconds).await;
        for consumer in 0..8 {
            let client = fleet.consumers[consumer].client(&fleet.base);
            let assigned = client.assignments().await.unwrap();
            let bundles = assigned.pairs.iter().flat_map(|pair| &pair.bundles);
            let moves = bundles.filter(|bundle| bundle.rebalance).count() > 0;
            let told = fleet.version(consumer).await;
            assert_eq!(told != assigned.version, moves, "{consumer} {seconds}");
            *if moves { &mut moving } else { &mut still } += 1;
        }
    }
    // With each step a half of what there is is to move.
    assert!(moving > 0, "{moving} of {still}");
    fleet.changed_ago(1_000.0).await;
    for consumer in 0..8 {
        let client = fleet.consumers[consumer].client(&fleet.base);
        let assigned = client.assignments().await.unwrap();
        assert_eq!(fleet.version(consumer).await, assigned.version);
        let bundles = assigned.pairs.iter().flat_map(|pair| &pair.bundles);
        assert_eq!(bundles.filter(|bundle| bundle.rebalance).count(), 0);
    }
    let before = fleet.version(0).await;
    fleet.told(0, Phase::Draining, None).await;
    fleet.changed_ago(1_000.0).await;
    assert!(fleet.version(0).await > before);
}

#[tokio::test]
async fn a_producer_that_serves_and_does_not_in_turn_changes_nothing_each_time() {
    let fleet = Fleet::new(1, 2).await;
    fleet.draw_all(0).await;
    let (before, told) = (
        changes(&fleet).await,
        fleet.events("assignments.changed").await,
    );
    for _ in 0..10 {
        fleet.told(0, Phase::NotServing, None).await;
        fleet.told(0, Phase::Serving, None).await;
    }
    assert_eq!(changes(&fleet).await, before + 1);
    assert_eq!(fleet.events("assignments.changed").await, told + 1);
    let phase = fleet.endpoint(fleet.producers[0].id).await.phase;
    assert_eq!(phase, Some(Phase::NotServing));
    // Once it has had its time it serves again, and drains whenever it says so.
    fleet.settled().await;
    fleet.told(0, Phase::Serving, None).await;
    assert_eq!(changes(&fleet).await, before + 2);
    fleet.told(0, Phase::Draining, None).await;
    assert_eq!(changes(&fleet).await, before + 3);
}

#[tokio::test]
async fn assignments_are_not_had_as_often_as_one_likes() {
    let fleet = Fleet::new(2, 1).await;
    let token = fleet.consumers[0].access_token(&fleet.base).await;
    let url = format!("{}/v1/endpoint/assignments", fleet.base);
    let http = reqwest::Client::new();
    let mut refused = 0;
    for _ in 0..12 {
        let proof = fleet.consumers[0].proof("GET", &url, Some(&token));
        let ask = http.get(&url).header("dpop", proof);
        let ask = ask.header("authorization", format!("DPoP {token}"));
        refused += usize::from(ask.send().await.unwrap().status() == 429);
    }
    assert!(refused > 0);
    // Nobody else is refused for it, nor are its signs of life.
    fleet.version(0).await;
    let other = fleet.consumers[1].client(&fleet.base);
    assert!(other.assignments().await.is_ok());
}

#[tokio::test]
async fn those_who_come_fresh_get_their_part_of_the_bundles_that_there_are() {
    let mut fleet = Fleet::new(8, 2).await;
    for consumer in 0..8 {
        fleet.draw_all(consumer).await;
    }
    assert_eq!(fleet.spread().await, [8, 8]);
    for _ in 0..2 {
        fleet.add_producer().await;
    }
    // Three heartbeats.
    for seconds in [0.0, 5.0, 10.0] {
        fleet.changed_ago(seconds).await;
        for consumer in 0..8 {
            let assigned = fleet.assigned(consumer).await;
            for bundle in assigned.bundles.iter().filter(|bundle| bundle.rebalance) {
                let (moved, _) = fleet.draw(consumer, Some(bundle.bundle_id)).await;
                moved.unwrap();
            }
        }
    }
    let spread = fleet.spread().await;
    assert_eq!(spread.iter().sum::<usize>(), 16);
    assert!(
        spread.iter().all(|count| (2..=8).contains(count)),
        "{spread:?}"
    );
}

/// Endpoints of the producer, as copies of one that has started, not heard of for so long.
async fn add_silent(fleet: &Fleet, count: i32, phase: Option<&str>) {
    let mut sql = fleet.sql().await;
    sqlx::query(
        "WITH made AS (
             INSERT INTO endpoints (tenant_id, endpoint_id, role, party_id, name, signing_key,
                                    kem_key, version, last_seen_at, enrol_seq, enrol_entry, phase)
             SELECT tenant_id, gen_random_uuid(), role, party_id, name, signing_key, kem_key,
                    version, now() - interval '1 day', enrol_seq, enrol_entry, $3
             FROM endpoints, generate_series(1, $2) WHERE endpoint_id = $1
             RETURNING tenant_id, endpoint_id)
         INSERT INTO endpoint_starts (tenant_id, endpoint_id, hash, counter, start, head_hash)
         SELECT s.tenant_id, made.endpoint_id, s.hash, s.counter, s.start, s.head_hash
         FROM endpoint_starts s, made WHERE s.endpoint_id = $1",
    )
    .bind(fleet.producers[0].id)
    .bind(count)
    .bind(phase)
    .execute(&mut sql)
    .await
    .unwrap();
}

async fn look(store: &Store) {
    let after = Duration::seconds(15);
    find_lost_endpoints(store, after).await.expect("a look");
}

/// The service has been there for long.
async fn long_there(fleet: &Fleet) {
    let mut sql = fleet.sql().await;
    sqlx::query(
        "INSERT INTO unbroken_service (since, seen_at) VALUES (now() - interval '1 day', now())
         ON CONFLICT (one) DO UPDATE SET since = excluded.since, seen_at = excluded.seen_at",
    )
    .execute(&mut sql)
    .await
    .unwrap();
}

async fn watched() -> (Fleet, Store) {
    let database = database().await;
    let app = app_with(&database, &[]).await.expect("start");
    let store = app.store.clone();
    let base = serve(app).await;
    let fleet = Fleet::at(database, base, 1, 3).await;
    long_there(&fleet).await;
    (fleet, store)
}

/// One transaction was held while another was begun: with one connection there was no end to it.
#[tokio::test]
async fn low_the_look_for_lost_endpoints_takes_one_connection() {
    let database = database().await;
    let few = [
        "--database-connections",
        "4",
        "--database-pool-wait-ms",
        "5000",
    ];
    let app = app_with(&database, &few).await.expect("start");
    // Of four the jobs have one.
    let store = app.store.for_jobs();
    let fleet = Fleet::at(database, serve(app).await, 1, 3).await;
    long_there(&fleet).await;
    add_silent(&fleet, 2, None).await;
    look(&store).await;
    assert_eq!(fleet.events("endpoint.lost").await, 2);
}

#[tokio::test]
async fn few_that_fall_silent_are_lost_and_what_was_leaving_is_retired_without_an_alarm() {
    let (fleet, store) = watched().await;
    add_silent(&fleet, 2, None).await;
    add_silent(&fleet, 3, Some("draining")).await;
    look(&store).await;
    look(&store).await;
    assert_eq!(fleet.events("endpoint.lost").await, 2);
    assert_eq!(fleet.entries("endpoint.lost").await.len(), 2);
    let ended = fleet.entries("endpoint.start-end").await;
    let leaving = ended
        .iter()
        .filter(|entry| entry.detail["reason"] == "it was about to leave, and fell silent");
    assert_eq!(leaving.count(), 3);
    assert_eq!(fleet.events("endpoints.silent").await, 0);
    let there = fleet.world.operator.endpoints().every().await.unwrap();
    let lost = there.iter().filter(|one| one.lost_at.is_some());
    assert_eq!(lost.count(), 2);
}

#[tokio::test]
async fn many_that_fall_silent_at_once_are_waited_for_and_one_alarm_is_raised() {
    let (fleet, store) = watched().await;
    add_silent(&fleet, 6, None).await;
    for _ in 0..3 {
        look(&store).await;
    }
    assert_eq!(fleet.events("endpoints.silent").await, 1);
    assert_eq!(fleet.entries("endpoints.silent").await.len(), 1);
    assert_eq!(fleet.events("endpoint.lost").await, 0);
    // They are heard of again: it is over, and another time it is told of anew.
    let mut sql = fleet.sql().await;
    sqlx::query("UPDATE endpoints SET last_seen_at = now()")
        .execute(&mut sql)
        .await
        .unwrap();
    look(&store).await;
    sqlx::query("UPDATE endpoints SET last_seen_at = now() - interval '1 hour'")
        .execute(&mut sql)
        .await
        .unwrap();
    look(&store).await;
    look(&store).await;
    assert_eq!(fleet.events("endpoints.silent").await, 2);
    assert_eq!(fleet.events("endpoint.lost").await, 0);
    // Not for ever.
    sqlx::query("UPDATE journals SET silence_at = now() - interval '11 minutes'")
        .execute(&mut sql)
        .await
        .unwrap();
    look(&store).await;
    assert!(fleet.events("endpoint.lost").await > 0);
}

#[tokio::test]
async fn nobody_is_lost_because_the_service_was_away() {
    let (fleet, store) = watched().await;
    add_silent(&fleet, 2, None).await;
    let mut sql = fleet.sql().await;
    let mut service = async |since: &str, seen: &str| {
        let statement = format!(
            "UPDATE unbroken_service SET since = now() - interval '{since}',
                    seen_at = now() - interval '{seen}'"
        );
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .execute(&mut sql)
            .await
            .unwrap();
    };
    // It was away for a minute, and is there again.
    service("1 day", "60 seconds").await;
    look(&store).await;
    assert_eq!(fleet.events("endpoint.lost").await, 0);
    // For three intervals, and as long as agents wait before they try again.
    service("40 seconds", "2 seconds").await;
    look(&store).await;
    assert_eq!(fleet.events("endpoint.lost").await, 0);
    service("50 seconds", "2 seconds").await;
    look(&store).await;
    assert_eq!(fleet.events("endpoint.lost").await, 2);
}

#[tokio::test]
async fn the_service_counts_as_there_while_nobody_gets_around_to_looking() {
    let database = database().await;
    let app = app_with(&database, &[]).await.expect("start");
    let mut sql = bound(&database, Uuid::nil()).await;
    // Another replica is at it, and is not done with all tenants.
    sqlx::query(
        "INSERT INTO turns (name, until) VALUES ('lost-endpoints', now() + interval '1 day')
         ON CONFLICT (name) DO UPDATE SET until = excluded.until",
    )
    .execute(&mut sql)
    .await
    .unwrap();
    app.start_jobs().detach_all();
    until("the service is noted", async || {
        let noted: i64 = sqlx::query_scalar("SELECT count(*) FROM unbroken_service")
            .fetch_one(&mut sql)
            .await
            .unwrap();
        (noted == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_fails_at_one_tenant_does_not_end_the_look_at_those_behind_it() {
    let (fleet, store) = watched().await;
    let other = Fleet::at(fleet.database.clone(), fleet.base.clone(), 1, 1).await;
    let (broken, whole) = match fleet.world.tenant < other.world.tenant {
        true => (&fleet, &other),
        false => (&other, &fleet),
    };
    let mut sql = broken.sql().await;
    let unreadable = "UPDATE pairs SET policy = policy || '{\"heartbeat_interval_ms\": \"x\"}'";
    sqlx::query(unreadable).execute(&mut sql).await.unwrap();
    add_silent(whole, 2, None).await;
    look(&store).await;
    assert_eq!(whole.events("endpoint.lost").await, 2);
}

/// All of the producer's endpoints claim one address, the first of them an hour ago and the second
/// one so many seconds ago; both were heard of now.
async fn share_address(fleet: &Fleet, seconds: i32) {
    let mut sql = fleet.sql().await;
    sqlx::query(
        "UPDATE endpoints SET address = 'http://till:9000', last_seen_at = now(),
                address_claimed_at = now() - CASE WHEN endpoint_id = $1
                  THEN interval '1 hour' ELSE make_interval(secs => $2) END
         WHERE role = 'producer' AND state = 'active' AND endpoint_id = ANY($3)",
    )
    .bind(fleet.producers[0].id)
    .bind(f64::from(seconds))
    .bind(fleet.producers.iter().map(|one| one.id).collect::<Vec<_>>())
    .execute(&mut sql)
    .await
    .unwrap();
}

async fn set_seen(fleet: &Fleet, producer: usize, seconds: i32) {
    let mut sql = fleet.sql().await;
    sqlx::query(
        "UPDATE endpoints SET last_seen_at = now() - make_interval(secs => $2)
         WHERE endpoint_id = $1",
    )
    .bind(fleet.producers[producer].id)
    .bind(f64::from(seconds))
    .execute(&mut sql)
    .await
    .unwrap();
}

#[tokio::test]
async fn whoever_claims_an_address_later_has_it_once_the_earlier_is_not_heard_of() {
    let fleet = Fleet::new(1, 2).await;
    share_address(&fleet, 1).await;
    fleet.told(1, Phase::Serving, None).await;
    // The earlier one lives: the later one waits, and is told so.
    let (drawn, wanted) = fleet.draw(0, None).await;
    let drawn = drawn.unwrap();
    assert_eq!(fleet.producer_of(drawn).await, fleet.producers[0].id);
    assert_eq!(wanted, 1);
    assert_eq!(fleet.events("endpoint.displaced").await, 0);
    assert_eq!(fleet.events("endpoint.address-shared").await, 0);
    let error = fleet.endpoint(fleet.producers[1].id).await.last_error;
    assert!(error.unwrap().contains("waits"));
    // It has missed its signs of life since the later one was heard of.
    set_seen(&fleet, 1, 3).await;
    set_seen(&fleet, 0, 12).await;
    let before = changes(&fleet).await;
    fleet.told(1, Phase::Serving, None).await;
    assert_eq!(fleet.events("endpoint.displaced").await, 1);
    assert!(changes(&fleet).await > before);
    let assigned = fleet.assigned(0).await;
    assert_eq!(assigned.bundles[0].phase, ProducerPhase::Gone);
    let (next, _) = fleet.draw(0, Some(drawn)).await;
    let next = next.unwrap();
    assert_eq!(fleet.producer_of(next).await, fleet.producers[1].id);
    // It is heard of again: it is its address.
    fleet.told(0, Phase::Serving, None).await;
    let (next, _) = fleet.draw(0, Some(next)).await;
    let next = fleet.producer_of(next.unwrap()).await;
    assert_eq!(next, fleet.producers[0].id);
}

#[tokio::test]
async fn an_endpoint_that_was_only_enrolled_displaces_nobody_from_its_address() {
    let fleet = Fleet::new(1, 1).await;
    let party = fleet.world.operator.create_party(Role::Producer, "rival");
    let party = party.await.unwrap();
    let rival = enrol(&fleet.world.operator, Role::Producer, party.id).await;
    let mut sql = fleet.sql().await;
    let share = "UPDATE endpoints SET address = 'http://till:9000' WHERE role = 'producer'";
    sqlx::query(share).execute(&mut sql).await.unwrap();
    assert!(fleet.draw(0, None).await.0.is_ok());
    let assigned = fleet.assigned(0).await;
    assert_eq!(assigned.bundles[0].phase, ProducerPhase::Serving);
    // Nor does it once it has started and is heard of: whoever lives keeps its address.
    rival.serve(&fleet.base).await;
    fleet.told(0, Phase::Serving, None).await;
    let assigned = fleet.assigned(0).await;
    assert_eq!(assigned.bundles[0].phase, ProducerPhase::Serving);
    assert_eq!(fleet.events("endpoint.displaced").await, 0);
}

#[tokio::test]
async fn whoever_starts_again_at_its_address_keeps_its_claim() {
    let fleet = Fleet::new(1, 2).await;
    share_address(&fleet, 600).await;
    fleet.producers[0].serve(&fleet.base).await;
    fleet.told(1, Phase::Serving, None).await;
    let (drawn, _) = fleet.draw(0, None).await;
    let drawn = fleet.producer_of(drawn.unwrap()).await;
    assert_eq!(drawn, fleet.producers[0].id);
}

#[tokio::test]
async fn who_shares_an_address_behind_a_balancer_is_refused_and_the_first_one_goes_on() {
    let fleet = Fleet::new(1, 2).await;
    // After two intervals both are heard of.
    share_address(&fleet, 60).await;
    for _ in 0..2 {
        fleet.told(0, Phase::Serving, None).await;
        fleet.told(1, Phase::Serving, None).await;
    }
    assert_eq!(fleet.events("endpoint.address-shared").await, 1);
    let entries = fleet.entries("endpoint.address-shared").await;
    assert_eq!(entries.len(), 1);
    let error = fleet.endpoint(fleet.producers[1].id).await.last_error;
    assert!(error.unwrap().contains("a balancer"));
    let first = fleet.endpoint(fleet.producers[0].id).await;
    assert_eq!(first.last_error, None);
    let (drawn, wanted) = fleet.draw(0, None).await;
    let drawn = drawn.unwrap();
    assert_eq!(fleet.producer_of(drawn).await, fleet.producers[0].id);
    assert_eq!(wanted, 1);
    // With the first one gone there is nothing to refuse; until it is noted, that is why.
    assert!(
        fleet.producers[0]
            .retire(&fleet.base, &[], true)
            .await
            .ended
    );
    assert!(is(fleet.draw(0, None).await.0, "address-shared"));
    fleet.told(1, Phase::Serving, None).await;
    assert!(fleet.draw(0, None).await.0.is_ok());
}

#[tokio::test]
async fn what_was_cut_before_a_pair_was_re_armed_does_not_cut_it_again() {
    let fleet = Fleet::new(2, 1).await;
    let (pair, operator) = (fleet.world.pair.id, &fleet.world.operator);
    let drawn = fleet.draw_all(0).await.remove(0);
    let grant = fleet.consumers[0]
        .client(&fleet.base)
        .bundle_grant(drawn, None)
        .await
        .unwrap();
    let bundle = TestBundle::of(&grant, &fleet.consumers[0], &fleet.producers[0]);
    let history = bundle.plain(0, 1);
    let client = fleet.consumers[0].client(&fleet.base);
    client.report(vec![bundle.report(&history)]).await.unwrap();
    let mark = mark(&history, Kind::Ticket);
    operator.disconnect_pair(pair, "looked at").await.unwrap();
    operator.re_arm(pair, "nothing found").await.unwrap();
    let bystander = fleet.draw_all(1).await;
    let disowned = Disowned::Ticket {
        bundle: *drawn.as_bytes(),
        mark,
    };
    let link = fleet.consumers[0].sign(LinkBody::Disown(vec![disowned]));
    let answer = fleet.consumers[0].send(&fleet.base, &link).await.unwrap();
    assert!(answer.ended);
    let own = fleet.endpoint(fleet.consumers[0].id).await;
    assert_eq!(own.state, EndpointState::Collided);
    let path = format!("/v1/pairs/{pair}");
    let after: Pair = operator.get(&path).await.unwrap();
    assert_eq!(after.state, PairState::Active);
    let of = operator.bundle(bystander[0]).await.unwrap();
    assert_eq!(of.state, BundleState::Active);
}

#[tokio::test]
async fn people_see_who_serves_a_pair_and_nobody_sees_anothers() {
    let fleet = Fleet::new(2, 3).await;
    for consumer in 0..2 {
        fleet.draw_all(consumer).await;
    }
    fleet.told(1, Phase::NotServing, Some("west")).await;
    let path = format!("/v1/pairs/{}/traffic", fleet.world.pair.id);
    let seen: PairTraffic = fleet.world.operator.get(&path).await.unwrap();
    assert_eq!((seen.serving, seen.consumers, seen.wanted), (2, 2, 3));
    let of = |producer: usize| {
        let id = fleet.producers[producer].id;
        let found = seen.producers.iter().find(|one| one.endpoint_id == id);
        found.unwrap()
    };
    assert_eq!(of(0).phase, ProducerPhase::Serving);
    assert_eq!(of(1).phase, ProducerPhase::NotServing);
    assert_eq!(of(1).zone.as_deref(), Some("west"));
    assert_eq!(of(0).bundles, 2);
    let other = World::new(&fleet.base, Policy::default()).await;
    let refused = other.operator.get::<Value>(&path).await;
    assert!(refused.unwrap_err().is("not-found"));
}

/// Draws that come at the same time, in one transaction or in several.
async fn draw_together(fleet: &Fleet, replaces: &[Option<Uuid>]) -> Vec<Uuid> {
    let draws = replaces.iter().enumerate();
    let draws = draws.map(|(consumer, replaces)| fleet.draw(consumer, *replaces));
    let drawn = futures::future::join_all(draws).await;
    drawn.into_iter().map(|(drawn, _)| drawn.unwrap()).collect()
}

#[tokio::test]
async fn draws_that_come_together_are_one_entry_of_the_audit_log() {
    const CONSUMERS: usize = 12;
    let fleet = Fleet::new(CONSUMERS, 3).await;
    let first = draw_together(&fleet, &[None; CONSUMERS]).await;
    let replaces: Vec<_> = first.iter().copied().map(Some).collect();
    let second = draw_together(&fleet, &replaces).await;
    let entries = fleet.entries("bundle.mint").await;
    assert!(entries.len() < CONSUMERS, "{}", entries.len());
    // Each bundle is in one of them, with what it superseded.
    let mut minted: BTreeMap<Uuid, Value> = BTreeMap::new();
    for entry in entries {
        let detail = entry.detail;
        match detail["bundles"].as_array() {
            Some(bundles) => {
                for (at, bundle) in bundles.iter().enumerate() {
                    let id = bundle.as_str().unwrap().parse().unwrap();
                    assert_eq!(detail["pairs"][at], json!(fleet.world.pair.id));
                    assert!(
                        minted
                            .insert(id, detail["supersedes"][at].clone())
                            .is_none()
                    );
                }
            }
            None => {
                let id = entry.target.parse().unwrap();
                assert!(minted.insert(id, detail["supersedes"].clone()).is_none());
            }
        }
    }
    for (before, after) in first.iter().zip(&second) {
        assert_eq!(minted[before], Value::Null);
        assert_eq!(minted[after], json!(before));
        let bundle = fleet.world.operator.bundle(*before).await.unwrap();
        assert_eq!(bundle.state, BundleState::Superseded);
    }
    assert_eq!(fleet.events("bundle.minted").await, 2 * CONSUMERS as i64);
    assert_eq!(fleet.events("bundle.superseded").await, CONSUMERS as i64);
    // What each holds is counted, whoever drew in between.
    let spread = fleet.spread().await;
    assert_eq!(spread, [CONSUMERS / 3; 3]);
}

#[tokio::test]
async fn of_draws_that_come_together_one_that_is_refused_takes_no_other_with_it() {
    let fleet = Fleet::new(3, 2).await;
    fleet.draw_all(0).await;
    let none = BundleRequest {
        pair: [9; 16],
        draw: 1,
        replaces: NO_BUNDLE,
    };
    let strange = fleet.consumers[1].tell(&fleet.base, LinkBody::Request(vec![none]));
    let ((refused, _), strange, (drawn, _)) =
        tokio::join!(fleet.draw(0, None), strange, fleet.draw(2, None));
    assert!(is(refused, "bundles-enough"));
    assert!(drawn.is_ok());
    let Some(LinkOutcome::Bundles { items }) = strange.outcome else {
        panic!("{strange:?}")
    };
    assert_eq!(items[0].problem.as_ref().unwrap().kind(), Some("not-found"));
}

#[tokio::test]
async fn the_end_of_a_dispute_takes_no_draw_with_it_that_comes_together_with_its_endpoints() {
    const CONSUMERS: usize = 6;
    let fleet = Fleet::new(CONSUMERS, 2).await;
    let mut sql = fleet.sql().await;
    for consumer in &fleet.consumers[..3] {
        let newer = consumer.copied();
        let starting = newer.begin(None);
        sqlx::query(
            "INSERT INTO start_disputes (tenant_id, endpoint_id, newer, start, since)
             VALUES ($1, $2, $3, $4, now() - interval '1 hour')",
        )
        .bind(fleet.world.tenant)
        .bind(consumer.id)
        .bind(&starting.start().unverified().hash().0[..])
        .bind(starting.start().to_bytes())
        .execute(&mut sql)
        .await
        .unwrap();
    }
    let asked = fleet.consumers.iter().map(async |consumer| {
        let request = BundleRequest {
            pair: *fleet.world.pair.id.as_bytes(),
            draw: 1,
            replaces: NO_BUNDLE,
        };
        let link = consumer.sign(LinkBody::Request(vec![request]));
        consumer.send(&fleet.base, &link).await.unwrap()
    });
    let answers = futures::future::join_all(asked).await;
    for (number, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.ended, number < 3);
        let Some(LinkOutcome::Bundles { items }) = answer.outcome else {
            assert!(number < 3, "{number} is not served");
            continue;
        };
        assert!(
            items[0].bundle_id.is_some(),
            "{number}: {:?}",
            items[0].problem
        );
    }
    let left = "SELECT count(*) FROM start_disputes";
    let left: i64 = sqlx::query_scalar(left).fetch_one(&mut sql).await.unwrap();
    assert_eq!(left, 0);
}

/// Prints which part of the time the tenant's journal is locked by the renewals of 50,000 endpoints
/// with four bundles each, which are renewed each 54 minutes: 62 a second. It is to be below a tenth.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures; run it alone, in release, on a quiet machine"]
async fn how_long_renewals_hold_the_journal() {
    const CONSUMERS: usize = 31;
    const A_SECOND: f64 = 62.0;
    let fleet = Fleet::new(CONSUMERS, 4).await;
    let held = draw_together(&fleet, &[None; CONSUMERS]).await;
    let every = std::time::Duration::from_secs_f64(CONSUMERS as f64 / A_SECOND);
    let over = AtomicBool::new(false);
    let mut counter = fleet.sql().await;
    let mut entries = async || -> i64 {
        let size = sqlx::query_scalar("SELECT audit_size FROM journals");
        size.fetch_one(&mut counter).await.unwrap()
    };
    let before = entries().await;
    let renewals = held
        .into_iter()
        .enumerate()
        .map(async |(consumer, mut held)| {
            tokio::time::sleep(every.mul_f64(consumer as f64 / CONSUMERS as f64)).await;
            let mut ticks = tokio::time::interval(every);
            for _ in 0..20 {
                ticks.tick().await;
                held = fleet.draw(consumer, Some(held)).await.0.unwrap();
            }
        });
    let mut watcher = fleet.sql().await;
    let watched = async {
        let (mut locked, mut all) = (0, 0);
        while !over.load(std::sync::atomic::Ordering::Relaxed) {
            let mut tx = watcher.begin().await.unwrap();
            let free = sqlx::query("SELECT FROM journals FOR UPDATE NOWAIT");
            locked += u32::from(free.execute(&mut *tx).await.is_err());
            tx.rollback().await.unwrap();
            all += 1;
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        (locked, all)
    };
    let began = tokio::time::Instant::now();
    let (took, (locked, all)) = tokio::join!(
        async {
            futures::future::join_all(renewals).await;
            over.store(true, std::sync::atomic::Ordering::Relaxed);
            began.elapsed()
        },
        watched
    );
    let draws = CONSUMERS as f64 * 20.0;
    println!(
        "{:.1} renewals a second in {:.1} entries a second: the journal is locked {:.1} % of the \
         time ({locked} of {all} looks)",
        draws / took.as_secs_f64(),
        (entries().await - before) as f64 / took.as_secs_f64(),
        100.0 * f64::from(locked) / f64::from(all),
    );
}
