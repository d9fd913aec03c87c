//! The ledger against a real PostgreSQL and two replicas: what the ends report of their lanes,
//! and what it does when a copy of an end's state comes to light.

use armour_api::{
    AuditEntry, Bundle, BundleState, Collision, CollisionKind, Endpoint, EndpointState, LaneHead,
    Page, Pair, PairState, Policy, RecordedTicket, ReportVerdict, Role, ShowReceipt,
};
use armour_protocol::v2::{
    body::Kind,
    identity::body::{Disowned, LinkBody},
    ledger::Run,
    message::Evidence,
    proof::Proof,
};
use armour_transparency::evidence;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::common::{
    TestBundle, TestEndpoint, World, bound, database, enrol, mark, replica, until,
};

async fn new_world() -> World {
    let base = replica(&database().await).await;
    World::new(&base, Policy::default()).await
}

/// What one end is told of a report of this part of a lane.
async fn say(
    world: &World,
    end: &TestEndpoint,
    bundle: &TestBundle<'_>,
    part: &[Evidence],
) -> ReportVerdict {
    let client = end.client(&world.base);
    let told = client.report(vec![bundle.report(part)]).await;
    told.unwrap().remove(0)
}

/// A proof that nobody made.
fn nobodys() -> Proof {
    Proof::from_bytes(&[&[1][..], &[9; 64]].concat()).unwrap()
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

async fn pair_state(world: &World) -> PairState {
    let path = format!("/v1/pairs/{}", world.pair.id);
    let pair: Pair = world.operator.get(&path).await.unwrap();
    pair.state
}

async fn audited(world: &World, action: &str) -> Vec<AuditEntry> {
    let path = format!("/v1/audit?action={action}");
    let page: Page<AuditEntry> = world.operator.get(&path).await.unwrap();
    page.items
}

async fn only_collision(world: &World) -> Collision {
    let mut found = world.operator.collisions().await.unwrap().items;
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// Checks a collision's evidence as a third party does, and that it stands only as it is;
/// returns whether it proves the collision by itself.
async fn evidence_holds(world: &World, collision: &Collision) -> bool {
    let genuine = world.operator.evidence(collision.id).await.unwrap();
    let shown = evidence::check(&genuine, None).unwrap();
    let json = serde_json::to_value(&genuine).unwrap();
    let spoilt = |spoil: &dyn Fn(&mut Value)| {
        let mut spoilt = json.clone();
        spoil(&mut spoilt);
        serde_json::from_value(spoilt).unwrap()
    };
    let others = [
        spoilt(&|it| it["collision"]["n"] = (collision.n + 1).into()),
        spoilt(&|it| it["collision"]["endpoint_id"] = json!(Uuid::nil())),
        spoilt(&|it| it["collision"]["reported"] = it["start"].clone()),
        spoilt(&|it| it["bundle"]["draw"] = 77.into()),
        spoilt(&|it| it["start"] = it["collision"]["reported"].clone()),
        spoilt(&|it| it["signing_key"] = it["log_key"].clone()),
    ];
    for (at, other) in others.iter().enumerate() {
        assert!(evidence::check(other, None).is_err(), "{at}");
    }
    shown.proven
}

#[tokio::test]
async fn reports_extend_repeat_leave_gaps_and_collide() {
    let world = new_world().await;
    let bundle = world.bundle().await;
    let honest = bundle.plain(0, 8);
    let (consumer, producer) = (&world.consumer, &world.producer);
    // Whole exchanges, the same again, an overlap, one that ends with a ticket, and its
    // receipt with what follows.
    for part in [0..4, 0..4, 2..8, 4..9, 8..10] {
        for end in [producer, consumer] {
            let verdict = say(&world, end, &bundle, &honest[part.clone()]).await;
            assert_eq!(verdict, ReportVerdict::Accepted, "{part:?}");
        }
    }
    let gap = say(&world, consumer, &bundle, &honest[14..]).await;
    assert_eq!(gap, ReportVerdict::Gap { expected: 5, k: 0 });
    // Not signed by the bundle's ends: it proves nothing and ends nothing.
    let mut fork = bundle.history(0, &[(0, 0), (1, 1), (12, 2)]);
    let genuine = fork[4].proof.clone();
    fork[4].proof = nobodys();
    let verdict = say(&world, producer, &bundle, &fork[4..5]).await;
    assert!(
        matches!(verdict, ReportVerdict::Refused { .. }),
        "{verdict:?}"
    );
    fork[4].proof = genuine;
    let mut bare = bundle.report(&fork[4..]);
    bare.receipt = None;
    let told = producer.client(&world.base).report(vec![bare]).await;
    let verdict = told.unwrap().remove(0);
    assert!(
        matches!(verdict, ReportVerdict::Refused { .. }),
        "{verdict:?}"
    );
    assert_eq!(bundle_state(&world, bundle.id).await, BundleState::Active);
    // A fork in the middle of what is recorded.
    let told = consumer.client(&world.base);
    told.endpoint().await.unwrap();
    let verdict = say(&world, producer, &bundle, &fork[4..]).await;
    assert_eq!(verdict, ReportVerdict::Collision);
    let found = only_collision(&world).await;
    assert_eq!((found.kind, found.n), (CollisionKind::Fork, 2));
    assert_eq!(state_of(&world, consumer).await, EndpointState::Collided);
    assert_eq!(pair_state(&world).await, PairState::Disconnected);
    let verdict = say(&world, producer, &bundle, &honest[10..]).await;
    assert_eq!(verdict, ReportVerdict::Disconnected);
    let error = told.report(vec![bundle.report(&honest[10..])]).await;
    assert!(error.unwrap_err().is("identity-collided"));
}

#[tokio::test]
async fn two_tickets_in_one_place_are_found_from_either_end_and_in_either_order() {
    let base = replica(&database().await).await;
    for order in 0..8 {
        let world = World::new(&base, Policy::default()).await;
        let bundle = world.bundle().await;
        let ends = [&world.consumer, &world.producer];
        let both = [
            bundle.history(0, &[(0, 0), (1, 1), (2, 2)]),
            bundle.history(0, &[(0, 0), (8, 8)]),
        ];
        let (first, second) = (&both[order % 2], &both[1 - order % 2]);
        let (one, two) = (ends[order / 2 % 2], ends[order / 4 % 2]);
        let verdict = say(&world, one, &bundle, first).await;
        assert_eq!(verdict, ReportVerdict::Accepted, "{order}");
        // What was reported begins with the contradiction, or long before it.
        let part = match order % 2 {
            0 => &second[2..],
            _ => &second[..],
        };
        let verdict = say(&world, two, &bundle, part).await;
        assert_eq!(verdict, ReportVerdict::Collision, "{order}");
        let found = only_collision(&world).await;
        assert_eq!((found.kind, found.n), (CollisionKind::Fork, 1), "{order}");
        assert_eq!(found.endpoint_id, world.consumer.id);
        assert_eq!(found.reporter_id, two.id);
        assert_eq!(found.host.as_deref(), Some("test"));
        assert_eq!(
            state_of(&world, &world.producer).await,
            EndpointState::Active
        );
        assert!(evidence_holds(&world, &found).await, "{order}");
    }
}

#[tokio::test]
async fn two_receipts_for_one_ticket_end_the_producers_identity_alone() {
    let base = replica(&database().await).await;
    for order in 0..2 {
        let world = World::new(&base, Policy::default()).await;
        let bundle = world.bundle().await;
        let both = [
            bundle.history(0, &[(0, 0), (1, 1)]),
            bundle.history(0, &[(0, 0), (1, 9), (2, 2)]),
        ];
        let (consumer, producer) = (&world.consumer, &world.producer);
        let (first, second) = (&both[order], &both[1 - order]);
        let verdict = say(&world, producer, &bundle, first).await;
        assert_eq!(verdict, ReportVerdict::Accepted, "{order}");
        let verdict = say(&world, consumer, &bundle, second).await;
        assert_eq!(verdict, ReportVerdict::Collision, "{order}");
        let found = only_collision(&world).await;
        assert_eq!((found.kind, found.n), (CollisionKind::ProducerClone, 1));
        assert_eq!(
            (found.endpoint_id, found.role),
            (producer.id, Role::Producer)
        );
        assert!(evidence_holds(&world, &found).await, "{order}");
        assert_eq!(state_of(&world, producer).await, EndpointState::Collided);
        assert_eq!(state_of(&world, consumer).await, EndpointState::Active);
        assert_eq!(pair_state(&world).await, PairState::Active);
        assert_eq!(
            bundle_state(&world, bundle.id).await,
            BundleState::Disconnected
        );
        // Another endpoint of the producer serves the consumer on.
        let party = world.pair.producer_id;
        let spare = enrol(&world.operator, Role::Producer, party).await;
        spare.serve(&base).await;
        let next = consumer.draw(&base, world.pair.id, None).await;
        assert_eq!(next.producer.endpoint_id, spare.id);
    }
}

/// A consumer names a receipt that is not the recorded one.
struct Disputed<'a> {
    bundle: TestBundle<'a>,
    recorded: Vec<Evidence>,
    named: Vec<Evidence>,
}

async fn disputed(world: &World) -> Disputed<'_> {
    let bundle = world.bundle().await;
    let recorded = bundle.history(0, &[(0, 0), (1, 1)]);
    let named = bundle.history(0, &[(0, 0), (1, 9), (2, 2)]);
    let verdict = say(world, &world.producer, &bundle, &recorded).await;
    assert_eq!(verdict, ReportVerdict::Accepted);
    // The producer says what it was sent. Nothing is cut yet.
    let verdict = say(world, &world.producer, &bundle, &named[4..5]).await;
    assert_eq!(verdict, ReportVerdict::Accepted);
    let verdict = say(world, &world.consumer, &bundle, &named[4..5]).await;
    assert_eq!(verdict, ReportVerdict::ShowReceipt { n: 1, k: 0 });
    assert_eq!(bundle_state(world, bundle.id).await, BundleState::Active);
    Disputed {
        bundle,
        recorded,
        named,
    }
}

#[tokio::test]
async fn a_foreign_receipt_that_is_shown_is_a_producers_clone() {
    let world = new_world().await;
    let it = disputed(&world).await;
    let show = async |end: &TestEndpoint, receipt: &[u8]| {
        let shown = ShowReceipt {
            bundle_id: it.bundle.id,
            receipt: STANDARD.encode(receipt),
        };
        end.client(&world.base).show_receipt(&shown).await
    };
    let (consumer, producer) = (&world.consumer, &world.producer);
    let shown = it.named[3].to_bytes();
    assert!(show(producer, &shown).await.unwrap_err().is("not-found"));
    assert!(
        show(consumer, b"what?")
            .await
            .unwrap_err()
            .is("invalid-request")
    );
    // A ticket is no receipt, and nobody's receipt is not the producer's.
    let ticket = it.named[4].to_bytes();
    assert!(show(consumer, &ticket).await.is_err());
    let mut forged = it.named[3].clone();
    forged.proof = nobodys();
    assert!(show(consumer, &forged.to_bytes()).await.is_err());
    // The recorded one contradicts nothing.
    show(consumer, &it.recorded[3].to_bytes()).await.unwrap();
    assert_eq!(
        bundle_state(&world, it.bundle.id).await,
        BundleState::Active
    );
    show(consumer, &shown).await.unwrap();
    let found = only_collision(&world).await;
    assert_eq!((found.kind, found.n), (CollisionKind::ProducerClone, 1));
    assert_eq!(found.endpoint_id, producer.id);
    assert!(evidence_holds(&world, &found).await);
    assert_eq!(state_of(&world, consumer).await, EndpointState::Active);
}

/// Lets the time pass that a consumer has to show a receipt.
async fn wait_for_it(database: &str, world: &World) {
    let earlier = "UPDATE lanes SET disputed_since = disputed_since - interval '3 minutes'";
    let mut connection = bound(database, world.tenant).await;
    let done = sqlx::query(earlier).execute(&mut connection).await;
    assert_eq!(done.unwrap().rows_affected(), 1);
}

#[tokio::test]
async fn a_foreign_receipt_that_is_not_shown_is_the_consumers() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let it = disputed(&world).await;
    wait_for_it(&database, &world).await;
    world.consumer.heartbeat(&base, vec![it.bundle.id]).await;
    let found = until("a finding", async || {
        let mut found = world.operator.collisions().await.unwrap().items;
        found.pop()
    })
    .await;
    assert_eq!((found.kind, found.n), (CollisionKind::ForeignReceipt, 1));
    assert_eq!(found.endpoint_id, world.consumer.id);
    assert_eq!(
        state_of(&world, &world.producer).await,
        EndpointState::Active
    );
    // That it did not show it is the control plane's word.
    assert!(!evidence_holds(&world, &found).await);
}

#[tokio::test]
async fn a_foreign_receipt_of_an_ended_start_ends_the_bundle_and_accuses_nobody() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let it = disputed(&world).await;
    world.consumer.start(&base).await;
    until("the bundle's end", async || {
        let state = bundle_state(&world, it.bundle.id).await;
        (state == BundleState::Disconnected).then_some(())
    })
    .await;
    assert!(world.operator.collisions().await.unwrap().items.is_empty());
    for end in [&world.consumer, &world.producer] {
        assert_eq!(state_of(&world, end).await, EndpointState::Active);
    }
    assert_eq!(pair_state(&world).await, PairState::Active);
}

/// The lane's head was stored in place of what was disowned.
#[tokio::test]
async fn low_the_ticket_that_is_disowned_is_stored_and_not_the_lanes_head() {
    let world = new_world().await;
    let bundle = world.bundle().await;
    let lane = bundle.plain(0, 4);
    say(&world, &world.producer, &bundle, &lane).await;
    let disown = async |part: &[Evidence]| {
        let ticket = Disowned::Ticket {
            bundle: *bundle.id.as_bytes(),
            mark: mark(part, Kind::Ticket),
        };
        let body = LinkBody::Disown(vec![ticket]);
        world.consumer.tell(&world.base, body).await;
    };
    // The lane has gone on from there.
    disown(&lane[..3]).await;
    assert!(world.operator.collisions().await.unwrap().items.is_empty());
    disown(&lane).await;
    let found = only_collision(&world).await;
    assert_eq!((found.kind, found.n), (CollisionKind::Disowned, 3));
    // What is stored is of that number; that nobody signed it is the consumer's own word.
    let genuine = world.operator.evidence(found.id).await.unwrap();
    assert!(!evidence::check(&genuine, None).unwrap().proven);
    let mut other = genuine.clone();
    other.collision.n = 1;
    assert!(evidence::check(&other, None).is_err());
}

#[tokio::test]
async fn tickets_beyond_the_list_of_a_retired_bundle_are_theft_and_late_ones_are_not() {
    let base = replica(&database().await).await;
    for lane in [0, 1] {
        let world = World::new(&base, Policy::default()).await;
        let bundle = world.bundle().await;
        let (consumer, producer) = (&world.consumer, &world.producer);
        let lane_0 = bundle.plain(0, 4);
        say(&world, producer, &bundle, &lane_0[..2]).await;
        let marks = vec![mark(&lane_0[..6], Kind::Ticket)];
        consumer.retire(&base, &[(bundle.id, marks)], false).await;
        assert_eq!(bundle_state(&world, bundle.id).await, BundleState::Retired);
        // Within the list: late, and nothing else.
        let verdict = say(&world, producer, &bundle, &lane_0[2..6]).await;
        assert_eq!(verdict, ReportVerdict::Accepted);
        assert_eq!(state_of(&world, consumer).await, EndpointState::Active);
        // Beyond it, in a lane that it holds or in another.
        let (n, beyond) = match lane {
            0 => (3, lane_0[6..].to_vec()),
            _ => (0, bundle.plain(1, 1)),
        };
        let verdict = say(&world, producer, &bundle, &beyond).await;
        assert_eq!(verdict, ReportVerdict::Collision, "{lane}");
        let found = only_collision(&world).await;
        assert_eq!((found.kind, found.n), (CollisionKind::AfterRetirement, n));
        assert_eq!(found.endpoint_id, consumer.id);
        assert_eq!(found.lane, Some(lane));
        assert!(!evidence_holds(&world, &found).await);
    }
}

/// A copy answers at the address of a producer that has left.
#[tokio::test]
async fn receipts_beyond_the_list_of_a_producer_that_left_are_its_copys_and_late_ones_are_not() {
    let base = replica(&database().await).await;
    for lane in [0, 1] {
        let world = World::new(&base, Policy::default()).await;
        let bundle = world.bundle().await;
        let (consumer, producer) = (&world.consumer, &world.producer);
        let lane_0 = bundle.plain(0, 4);
        say(&world, consumer, &bundle, &lane_0[..2]).await;
        let marks = vec![mark(&lane_0[..6], Kind::Receipt)];
        producer.retire(&base, &[(bundle.id, marks)], true).await;
        // Within the list: late, and nothing else. A ticket beyond it has no answer yet.
        for late in [&lane_0[2..6], &lane_0[6..7]] {
            let verdict = say(&world, consumer, &bundle, late).await;
            assert_eq!(verdict, ReportVerdict::Accepted);
        }
        assert_eq!(state_of(&world, producer).await, EndpointState::Active);
        // Beyond it, in a lane that it holds or in another.
        let (n, beyond) = match lane {
            0 => (3, lane_0[6..].to_vec()),
            _ => (0, bundle.plain(1, 1)),
        };
        let verdict = say(&world, consumer, &bundle, &beyond).await;
        assert_eq!(verdict, ReportVerdict::Collision, "{lane}");
        let found = only_collision(&world).await;
        assert_eq!((found.kind, found.n), (CollisionKind::AfterRetirement, n));
        assert_eq!(
            (found.endpoint_id, found.role),
            (producer.id, Role::Producer)
        );
        assert_eq!(found.lane, Some(lane));
        assert!(!evidence_holds(&world, &found).await);
        assert_eq!(state_of(&world, consumer).await, EndpointState::Active);
    }
}

/// A copy's work was reported before its owner's list came.
#[tokio::test]
async fn what_is_recorded_beyond_a_list_is_found_when_the_list_comes() {
    let base = replica(&database().await).await;
    for (role, kind, disconnected) in [
        (Role::Consumer, Kind::Ticket, false),
        (Role::Producer, Kind::Receipt, false),
        (Role::Consumer, Kind::Ticket, true),
    ] {
        let world = World::new(&base, Policy::default()).await;
        let bundle = world.bundle().await;
        let (end, peer) = match role {
            Role::Consumer => (&world.consumer, &world.producer),
            Role::Producer => (&world.producer, &world.consumer),
        };
        let lane_0 = bundle.plain(0, 4);
        let verdict = say(&world, peer, &bundle, &lane_0).await;
        assert_eq!(verdict, ReportVerdict::Accepted);
        if disconnected {
            let path = format!("/v1/bundles/{}/disconnect", bundle.id);
            let why = json!({ "reason": "test" });
            let _: Bundle = world.operator.post(&path, &why).await.unwrap();
        }
        let marks = vec![mark(&lane_0[..6], kind)];
        end.retire(&base, &[(bundle.id, marks)], false).await;
        let found = only_collision(&world).await;
        assert_eq!((found.kind, found.n), (CollisionKind::AfterRetirement, 3));
        assert_eq!((found.endpoint_id, found.role), (end.id, role));
        assert!(!evidence_holds(&world, &found).await);
        assert_eq!(state_of(&world, end).await, EndpointState::Collided);
        assert_eq!(state_of(&world, peer).await, EndpointState::Active);
    }
}

/// The consumer crashed: there is no list of what it signed.
#[tokio::test]
async fn p8_a_late_ticket_of_a_crashed_consumer_is_no_collision() {
    let world = new_world().await;
    let bundle = world.bundle().await;
    let (consumer, producer) = (&world.consumer, &world.producer);
    let honest = bundle.plain(0, 5);
    let fork = bundle.history(0, &[(0, 0), (1, 1), (9, 9)]);
    say(&world, producer, &bundle, &honest[..4]).await;
    consumer.start(&world.base).await;
    let state = bundle_state(&world, bundle.id).await;
    assert_eq!(state, BundleState::Superseded);
    for part in [4..7, 6..10] {
        let verdict = say(&world, producer, &bundle, &honest[part]).await;
        assert_eq!(verdict, ReportVerdict::Accepted);
    }
    assert_eq!(bundle_state(&world, bundle.id).await, state);
    assert_eq!(state_of(&world, consumer).await, EndpointState::Active);
    assert!(world.operator.collisions().await.unwrap().items.is_empty());
    // A fork among them is one all the same.
    let verdict = say(&world, producer, &bundle, &fork).await;
    assert_eq!(verdict, ReportVerdict::Collision);
    let found = only_collision(&world).await;
    assert_eq!((found.kind, found.n), (CollisionKind::Fork, 2));
    assert!(evidence_holds(&world, &found).await);
}

#[tokio::test]
async fn reports_of_many_lanes_in_one_call_each_get_their_own_verdict() {
    let world = new_world().await;
    let bundle = world.bundle().await;
    let lanes: Vec<_> = (0..12).map(|lane| bundle.plain(lane, 3)).collect();
    let mut reports: Vec<_> = lanes.iter().map(|lane| bundle.report(&lane[..4])).collect();
    reports[3] = bundle.report(&lanes[3][2..]);
    reports[5].rests = "no base64!".into();
    reports[7].bundle_id = Uuid::nil();
    // Two of one lane, the later one first.
    reports[9] = bundle.report(&lanes[8][4..]);
    let consumer = world.consumer.client(&world.base);
    let verdicts = consumer.report(reports).await.unwrap();
    for (lane, verdict) in verdicts.iter().enumerate() {
        let expected = match lane {
            3 => *verdict == ReportVerdict::Gap { expected: 0, k: 0 },
            5 | 7 => matches!(verdict, ReportVerdict::Refused { .. }),
            _ => *verdict == ReportVerdict::Accepted,
        };
        assert!(expected, "{lane}: {verdict:?}");
    }
    let path = format!("/v1/bundles/{}/lanes", bundle.id);
    let heads: Page<LaneHead> = world.operator.get(&path).await.unwrap();
    let numbers: Vec<_> = heads.items.iter().map(|head| (head.lane, head.n)).collect();
    let expected = [0, 1, 2, 4, 6, 8, 10, 11].map(|lane| (lane, if lane == 8 { 2 } else { 1 }));
    assert_eq!(numbers, expected);
}

#[tokio::test]
async fn each_end_is_told_its_own_heads_and_people_see_tickets_with_their_receipts() {
    let world = new_world().await;
    let bundle = world.bundle().await;
    let honest = bundle.plain(0, 3);
    let (consumer, producer) = (&world.consumer, &world.producer);
    say(&world, consumer, &bundle, &honest[..5]).await;
    say(&world, producer, &bundle, &honest[..3]).await;
    for (end, kind, part) in [
        (consumer, Kind::Ticket, &honest[..5]),
        (producer, Kind::Receipt, &honest[..4]),
    ] {
        let ack = end.heartbeat(&world.base, vec![bundle.id]).await;
        let head = &ack.bundles[0].lanes[0];
        let own = mark(part, kind);
        assert_eq!((head.lane, head.n), (0, own.n));
        assert_eq!(head.hash, hex(&own.hash.0));
    }
    let path = format!("/v1/bundles/{}/tickets?lane=0", bundle.id);
    let page: Page<RecordedTicket> = world.operator.get(&path).await.unwrap();
    let seen: Vec<_> = page
        .items
        .iter()
        .map(|one| (one.n, one.receipt.is_some(), one.producer_reported))
        .collect();
    assert_eq!(seen, [(2, false, false), (1, true, true), (0, true, true)]);
    assert!(page.items.iter().all(|one| one.consumer_reported));
    assert_eq!(page.items[2].hash, hex(&honest[0].body.hash().0));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn nobody_reports_on_anothers_bundle() {
    let base = replica(&database().await).await;
    let world = World::new(&base, Policy::default()).await;
    let other = World::new(&base, Policy::default()).await;
    let bundle = world.bundle().await;
    let honest = bundle.plain(0, 2);
    let party = world.pair.consumer_id;
    let sibling = enrol(&world.operator, Role::Consumer, party).await;
    sibling.start(&base).await;
    for stranger in [&other.consumer, &other.producer, &sibling] {
        let client = stranger.client(&base);
        let told = client.report(vec![bundle.report(&honest)]).await;
        assert!(matches!(told.unwrap()[..], [ReportVerdict::Refused { .. }]));
        let shown = ShowReceipt {
            bundle_id: bundle.id,
            receipt: STANDARD.encode(honest[3].to_bytes()),
        };
        let error = client.show_receipt(&shown).await.unwrap_err();
        assert!(error.is("not-found"), "{error}");
    }
    let path = format!("/v1/bundles/{}/lanes", bundle.id);
    let heads: Page<LaneHead> = world.operator.get(&path).await.unwrap();
    assert!(heads.items.is_empty());
}

#[tokio::test]
async fn two_replicas_find_one_collision() {
    let url = database().await;
    let (a, b) = (replica(&url).await, replica(&url).await);
    for round in 0..6 {
        let world = World::new(&a, Policy::default()).await;
        let bundle = world.bundle().await;
        let shared: Vec<(u64, u64)> = (0..1 + round % 3).map(|n| (n, n)).collect();
        let other = [&shared[..], &[(50, 50), (51, 51)]].concat();
        let both = [bundle.plain(0, 4), bundle.history(0, &other)];
        let calls = (0..8).map(|call| {
            let end = [&world.consumer, &world.producer][call / 4];
            let client = end.client([&a, &b][call % 2]);
            let sent = bundle.report(&both[call / 2 % 2]);
            async move { client.report(vec![sent]).await }
        });
        let mut collided = 0;
        for told in futures::future::join_all(calls).await {
            match told {
                Ok(verdicts) => collided += usize::from(verdicts[0] == ReportVerdict::Collision),
                // The consumer's identity has ended meanwhile.
                Err(error) => assert!(error.is("identity-collided"), "{error}"),
            }
        }
        assert!(collided >= 1);
        only_collision(&world).await;
        for action in ["collision.detect", "bundle.disconnect", "pair.disconnect"] {
            assert_eq!(audited(&world, action).await.len(), 1, "{action}");
        }
    }
}

/// The consumer's tickets are recorded, and the producer does not tell of them.
#[tokio::test]
async fn people_are_told_once_of_a_bundle_that_its_producer_does_not_witness() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let bundle = world.bundle().await;
    let honest = bundle.plain(0, 4);
    let mut connection = bound(&database, world.tenant).await;
    let mut earlier = async || {
        let sql = "UPDATE lanes SET unseen_since = unseen_since - interval '1 hour'
                   WHERE unseen_since IS NOT NULL";
        let done = sqlx::query(sql).execute(&mut connection).await;
        done.unwrap().rows_affected()
    };
    for round in [1, 2] {
        let part = &honest[4 * (round - 1)..4 * round];
        say(&world, &world.consumer, &bundle, part).await;
        assert_eq!(earlier().await, 1);
        let told = until("an alarm", async || {
            let told = audited(&world, "bundle.unwitnessed").await;
            (told.len() >= round).then_some(told)
        })
        .await;
        assert_eq!(told.len(), round);
        assert_eq!(told[0].target, bundle.id.to_string());
        let producer = world.producer.id.to_string();
        assert_eq!(told[0].detail["producer_endpoint_id"], producer);
        // Nothing is cut, and once the producer reports it is over.
        assert_eq!(bundle_state(&world, bundle.id).await, BundleState::Active);
        let verdict = say(&world, &world.producer, &bundle, part).await;
        assert_eq!(verdict, ReportVerdict::Accepted);
        assert_eq!(earlier().await, 0);
        let mut watching = bound(&database, world.tenant).await;
        until("the alarm's end", async || {
            let sql = "SELECT count(*) FROM bundles WHERE unwitnessed_at IS NOT NULL";
            let count: i64 = sqlx::query_scalar(sql)
                .fetch_one(&mut watching)
                .await
                .unwrap();
            (count == 0).then_some(())
        })
        .await;
    }
}

/// Calls that come at once share transactions; nobody's verdict is another's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_that_come_at_once_each_get_their_own_verdict() {
    let world = new_world().await;
    let base = &world.base;
    let mut ends = Vec::new();
    for _ in 0..10 {
        let endpoint = enrol(&world.operator, Role::Consumer, world.pair.consumer_id).await;
        endpoint.start(base).await;
        let grant = endpoint.draw(base, world.pair.id, None).await;
        ends.push((endpoint, grant));
    }
    let bundles = ends.iter().map(|(end, grant)| {
        let bundle = TestBundle::of(grant, end, &world.producer);
        let honest = bundle.plain(0, 6);
        (end, bundle, honest)
    });
    let bundles: Vec<_> = bundles.collect();
    for (end, bundle, honest) in &bundles {
        let verdict = say(&world, end, bundle, &honest[..4]).await;
        assert_eq!(verdict, ReportVerdict::Accepted);
    }
    let calls = bundles
        .iter()
        .enumerate()
        .map(|(place, (end, bundle, honest))| {
            let others = &bundles[(place + 1) % bundles.len()];
            let mut sent = bundle.report(&honest[4..8]);
            match place {
                0 => sent = bundle.report(&bundle.history(0, &[(0, 0), (31, 1)])),
                1 => sent.rests = "no base64!".into(),
                2 => sent = others.1.report(&others.2[4..8]),
                _ => {}
            }
            let client = end.client(base);
            async move { client.report(vec![sent]).await }
        });
    // The producer reports of all of them meanwhile.
    let all = bundles
        .iter()
        .map(|(_, bundle, honest)| bundle.report(&honest[..8]));
    let producer = world.producer.client(base);
    let (told, by_producer) = tokio::join!(
        futures::future::join_all(calls),
        producer.report(all.collect())
    );
    for (place, told) in told.into_iter().enumerate() {
        let verdict = told.unwrap().remove(0);
        let expected = match place {
            0 => verdict == ReportVerdict::Collision,
            1 | 2 => matches!(verdict, ReportVerdict::Refused { .. }),
            _ => verdict == ReportVerdict::Accepted,
        };
        assert!(expected, "{place}: {verdict:?}");
    }
    for (place, verdict) in by_producer.unwrap().into_iter().enumerate() {
        let known = verdict == ReportVerdict::Accepted;
        // The first one's bundle may have ended before.
        let ended = place == 0 && verdict == ReportVerdict::Disconnected;
        assert!(known || ended, "{place}: {verdict:?}");
    }
    only_collision(&world).await;
}

/// A lane of 20,000 exchanges that nobody made: it was reported in four calls.
async fn long_lane(world: &World, bundle: &TestBundle<'_>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for _ in 0..4 {
        let run = bundle.made_up(0, 5_000, 1, runs.last());
        let client = world.consumer.client(&world.base);
        let told = client.report(vec![bundle.report_of(&run)]).await.unwrap();
        assert_eq!(told, [ReportVerdict::Accepted]);
        runs.push(run);
    }
    runs
}

/// The part of a run that is one exchange of it.
fn exchange(bundle: &TestBundle<'_>, world: &World, run: &Run, n: u64) -> Run {
    let from = run.from_exchange(&bundle.context, n).unwrap();
    let keys = (&world.consumer, &world.producer);
    let rests = from.rests[..2].to_vec();
    Run::signed(&bundle.context, run.lane, n, from.previous, rests, keys).unwrap()
}

#[tokio::test]
async fn a_call_about_the_first_and_the_last_exchange_of_a_lane_reads_none_between_them() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let bundle = world.bundle().await;
    let runs = long_lane(&world, &bundle).await;
    let mut connection = bound(&database, world.tenant).await;
    // What this connection reads is counted elsewhere.
    sqlx::raw_sql(
        "SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM ticket_runs")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(stored, 4 * 157, "each of 64 bodies at most");
    let longest: i32 = sqlx::query_scalar("SELECT max(octet_length(rests)) FROM ticket_runs")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(longest, 64 * 32);
    let reports = [(0, 0), (1, 7_000), (3, 19_999), (0, 0), (0, 40)]
        .map(|(run, n)| exchange(&bundle, &world, &runs[run], n));
    let reports = reports.iter().map(|run| bundle.report_of(run)).collect();
    let told = world.producer.client(&base).report(reports).await.unwrap();
    assert!(told.iter().all(|one| *one == ReportVerdict::Accepted));
    let read = until("what was read", async || {
        let mut connection = bound(&database, world.tenant).await;
        let read: i64 = sqlx::query_scalar(
            "SELECT idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'ticket_runs'",
        )
        .fetch_one(&mut connection)
        .await
        .unwrap();
        (read > 0).then_some(read)
    })
    .await;
    assert!(read < 40, "{read} rows");
}

#[tokio::test]
async fn a_fork_within_a_long_report_is_found_and_proven() {
    for n in [0, 31, 32, 63, 99] {
        let world = new_world().await;
        let bundle = world.bundle().await;
        let first = bundle.made_up(0, 100, 1, None);
        let next = bundle.made_up(0, 100, 1, Some(&first));
        let client = world.consumer.client(&world.base);
        for run in [&first, &next] {
            let told = client.report(vec![bundle.report_of(run)]).await.unwrap();
            assert_eq!(told, [ReportVerdict::Accepted]);
        }
        // The same up to there, and other messages from there on.
        let mut rests = first.rests.clone();
        for rest in &mut rests[2 * n..] {
            rest[31] ^= 1;
        }
        let keys = (&world.consumer, &world.producer);
        let opening = first.previous;
        let other = Run::signed(&bundle.context, 0, 0, opening, rests, keys).unwrap();
        let client = world.producer.client(&world.base);
        let told = client.report(vec![bundle.report_of(&other)]).await.unwrap();
        assert_eq!(told, [ReportVerdict::Collision], "{n}");
        let found = only_collision(&world).await;
        assert_eq!((found.kind, found.n), (CollisionKind::Fork, n as u64));
        assert!(evidence_holds(&world, &found).await, "{n}");
    }
}

#[tokio::test]
async fn a_collision_ends_what_is_of_use_with_one_entry_and_leaves_what_was_retired() {
    let database = database().await;
    let base = replica(&database).await;
    let mut entries = Vec::new();
    for bundles in [2, 12] {
        let world = World::new(&base, Policy::default()).await;
        let retired = world.bundle().await;
        let lane = retired.plain(0, 1);
        say(&world, &world.consumer, &retired, &lane).await;
        let marks = vec![mark(&lane, Kind::Ticket)];
        world
            .consumer
            .retire(&base, &[(retired.id, marks)], false)
            .await;
        let mut ids = Vec::new();
        for _ in 0..bundles {
            ids.push(world.bundle().await);
        }
        let bundle = ids.last().unwrap();
        let both = [
            bundle.history(0, &[(0, 0), (1, 1)]),
            bundle.history(0, &[(0, 0), (8, 8)]),
        ];
        let before: Page<AuditEntry> = world.operator.get("/v1/audit").await.unwrap();
        say(&world, &world.consumer, bundle, &both[0]).await;
        let verdict = say(&world, &world.producer, bundle, &both[1]).await;
        assert_eq!(verdict, ReportVerdict::Collision);
        let after: Page<AuditEntry> = world.operator.get("/v1/audit").await.unwrap();
        entries.push(after.items[0].seq - before.items[0].seq);
        for id in &ids {
            assert_eq!(bundle_state(&world, id.id).await, BundleState::Disconnected);
        }
        assert_eq!(bundle_state(&world, retired.id).await, BundleState::Retired);
        let entry = audited(&world, "bundle.disconnect").await.remove(0);
        assert_eq!(entry.target, world.consumer.id.to_string());
        assert_eq!(entry.detail["count"], bundles);
        let mut named: Vec<Uuid> = serde_json::from_value(entry.detail["bundles"].clone()).unwrap();
        let mut all: Vec<Uuid> = ids.iter().map(|one| one.id).collect();
        named.sort_unstable();
        all.sort_unstable();
        assert_eq!(named, all);
        // Each end is told of each by an event of its own.
        let mut connection = bound(&database, world.tenant).await;
        let mut ended: Vec<Uuid> =
            sqlx::query_scalar("SELECT bundle_id FROM events WHERE kind = 'bundle.disconnected'")
                .fetch_all(&mut connection)
                .await
                .unwrap();
        ended.sort_unstable();
        assert_eq!(ended, all);
    }
    assert_eq!(entries[0], entries[1], "however many there are");
}
