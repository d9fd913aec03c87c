//! The ledger of streams that re-key, against a real PostgreSQL: what both ends report of
//! sub-tickets and sub-receipts, in any order that honest ends make, and what a copy of an end's
//! state that was taken inside a stream leaves.

use armour_api::{
    BundleState, Collision, CollisionKind, EndpointState, ForeignCheckpoint, Heartbeat, LaneHead,
    LaneReport, Policy, ReportVerdict, Role, ShowReceipt,
};
use armour_protocol::v2::{
    enclave::LaneMark,
    identity::body::{Disowned, LinkBody},
    rekey::{SubBody, SubEvidence},
};
use armour_transparency::evidence;
use base64::{Engine, engine::general_purpose::STANDARD};

use crate::common::{
    Streaming, TestBundle, TestEndpoint, World, bound, database, replica, sub_receipt, until,
};

async fn new_world() -> World {
    World::new(&replica(&database().await).await, Policy::default()).await
}

async fn say(base: &str, end: &TestEndpoint, reports: Vec<LaneReport>) -> Vec<ReportVerdict> {
    end.client(base).report(reports).await.unwrap()
}

async fn say_one(world: &World, end: &TestEndpoint, report: LaneReport) -> ReportVerdict {
    say(&world.base, end, vec![report]).await.remove(0)
}

async fn accepted(world: &World, end: &TestEndpoint, reports: Vec<LaneReport>) {
    for (at, verdict) in say(&world.base, end, reports).await.iter().enumerate() {
        assert_eq!(*verdict, ReportVerdict::Accepted, "{at}");
    }
}

async fn only_collision(world: &World) -> Collision {
    let mut found = world.operator.collisions().await.unwrap().items;
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

async fn nobody_is_accused(world: &World) {
    assert!(world.operator.collisions().await.unwrap().items.is_empty());
    for end in [&world.consumer, &world.producer] {
        let path = format!("/v1/endpoints/{}", end.id);
        let endpoint: armour_api::Endpoint = world.operator.get(&path).await.unwrap();
        assert_eq!(endpoint.state, EndpointState::Active);
    }
}

/// Checks a collision's evidence as a third party does; returns whether it proves it by itself.
async fn is_proven(world: &World, collision: &Collision) -> bool {
    let genuine = world.operator.evidence(collision.id).await.unwrap();
    let shown = evidence::check(&genuine, None).unwrap();
    let json = serde_json::to_value(&genuine).unwrap();
    for (field, value) in [
        ("k", collision.k.map_or(1, |k| k + 100)),
        ("n", collision.n as u32 + 1),
        ("lane", 1),
    ] {
        let mut spoilt = json.clone();
        spoilt["collision"][field] = value.into();
        let spoilt = serde_json::from_value(spoilt).unwrap();
        assert!(evidence::check(&spoilt, None).is_err(), "{field}");
    }
    shown.proven
}

#[tokio::test]
async fn sub_tickets_are_recorded_after_their_ticket_and_before_the_next() {
    let world = new_world().await;
    let bundle = world.bundle().await;
    let it = Streaming::new(&bundle, 1);
    let line = it.line(8, 0, 0);
    let (consumer, producer) = (&world.consumer, &world.producer);
    let gap = |expected, k| ReportVerdict::Gap { expected, k };
    let next = |bodies| it.next(Some(sub_receipt(&line, 4)), bodies, true);
    // Nothing of the lane is recorded.
    let verdict = say_one(&world, consumer, it.report(&line[..2])).await;
    assert_eq!(verdict, gap(0, 0));
    accepted(&world, consumer, vec![it.opening(false)]).await;
    // The line has a hole; the next ticket comes before the receipt, and before the line.
    let verdict = say_one(&world, producer, it.report(&line[4..6])).await;
    assert_eq!(verdict, gap(1, 1));
    assert_eq!(say_one(&world, consumer, next(1)).await, gap(1, 0));
    accepted(&world, producer, vec![it.report(&line[..1])]).await;
    accepted(&world, consumer, vec![it.report(&line[..3])]).await;
    let verdict = say_one(&world, consumer, it.report(&line[4..5])).await;
    assert_eq!(verdict, gap(1, 2));
    accepted(&world, producer, vec![it.opening(true)]).await;
    assert_eq!(say_one(&world, consumer, next(2)).await, gap(1, 2));
    // Again, with an overlap, and all of it with the next exchange in one call.
    accepted(&world, producer, vec![it.report(&line[..6])]).await;
    assert_eq!(say_one(&world, producer, next(1)).await, gap(1, 4));
    let all = vec![next(2), it.report(&line[2..]), it.report(&line[..8])];
    accepted(&world, consumer, all).await;
    // Late reports of what is recorded.
    let late = vec![
        it.report(&line),
        it.report(&line[6..7]),
        it.opening(true),
        next(1),
    ];
    accepted(&world, producer, late).await;
    nobody_is_accused(&world).await;
    let path = format!("/v1/bundles/{}/tickets?lane=0", bundle.id);
    let tickets: armour_api::Page<armour_api::RecordedTicket> =
        world.operator.get(&path).await.unwrap();
    let named: Vec<_> = tickets.items.iter().map(|one| &one.previous).collect();
    let next: Vec<_> = tickets.items.iter().map(|one| one.next.as_ref()).collect();
    assert_eq!(next[1..], [Some(named[0]), Some(named[1])]);
    let path = format!("/v1/bundles/{}/sub-tickets?lane=0&n=1", bundle.id);
    let listed: armour_api::Page<armour_api::RecordedSubTicket> =
        world.operator.get(&path).await.unwrap();
    let hashes = listed
        .items
        .iter()
        .rev()
        .flat_map(|one| [Some(one.hash.clone()), one.receipt.clone()]);
    let expected = line.iter().map(|body| Some(hex::encode(body.hash().0)));
    assert_eq!(hashes.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}

/// What is in a call of one end's.
type Part<'a> = (&'a TestEndpoint, Vec<LaneReport>);

#[tokio::test]
async fn whatever_order_both_ends_reports_come_in_nobody_is_accused() {
    let database = database().await;
    let bases = [replica(&database).await, replica(&database).await];
    for seed in 0..5_u64 {
        let world = World::new(&bases[0], Policy::default()).await;
        let bundle = world.bundle().await;
        let it = Streaming::new(&bundle, 1);
        let line = it.line(6, 0, 0);
        let next = || it.next(Some(sub_receipt(&line, 3)), 2, true);
        let mut waiting: Vec<Part<'_>> = Vec::new();
        for end in [&world.consumer, &world.producer] {
            for reports in [
                vec![it.opening(false)],
                vec![it.report(&line[..1])],
                vec![it.opening(true), it.report(&line[..4])],
                vec![it.report(&line[4..])],
                vec![next()],
            ] {
                waiting.push((end, reports));
            }
        }
        // A linear congruential sequence (Knuth's) orders them; what leaves a gap comes again.
        let mut random = seed;
        let mut taken = 0;
        for round in 0.. {
            assert!(round < 200, "{seed}: a report is never taken");
            if waiting.is_empty() {
                break;
            }
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let at = (random >> 33) as usize % waiting.len();
            let (end, reports) = waiting.swap_remove(at);
            let base = &bases[random as usize >> 40 & 1];
            let verdicts = say(base, end, reports.clone()).await;
            for verdict in &verdicts {
                assert!(
                    matches!(verdict, ReportVerdict::Accepted | ReportVerdict::Gap { .. }),
                    "{seed}: {verdict:?}"
                );
            }
            match verdicts.iter().all(|one| *one == ReportVerdict::Accepted) {
                true => taken += 1,
                false => waiting.push((end, reports)),
            }
        }
        assert_eq!(taken, 10);
        nobody_is_accused(&world).await;
    }
}

/// A world in which this was reported, and what one end is told of something else.
async fn contradicted(
    base: &str,
    recorded: impl Fn(&Streaming<'_>) -> Vec<LaneReport>,
    reported: impl Fn(&Streaming<'_>) -> LaneReport,
    by: Role,
) -> (World, ReportVerdict) {
    let world = World::new(base, Policy::default()).await;
    let verdict = {
        let bundle = world.bundle().await;
        let it = Streaming::new(&bundle, 1);
        accepted(&world, &world.producer, recorded(&it)).await;
        let end = match by {
            Role::Consumer => &world.consumer,
            Role::Producer => &world.producer,
        };
        say_one(&world, end, reported(&it)).await
    };
    (world, verdict)
}

#[tokio::test]
async fn a_copy_of_a_consumer_inside_a_stream_is_found_once_its_owner_re_keys() {
    let base = replica(&database().await).await;
    // Its owner's fourth sub-ticket and the copy's: of whichever the ledger hears first, of
    // whichever end, alone or with what was before.
    for (by, from, first, second) in [
        (Role::Consumer, 6, 0, 9),
        (Role::Producer, 0, 9, 0),
        (Role::Producer, 6, 9, 0),
        (Role::Consumer, 2, 0, 9),
    ] {
        let (world, verdict) = contradicted(
            &base,
            |it| vec![it.opening(true), it.report(&it.line(10, first, 6))],
            |it| it.report(&it.line(7, second, 6)[from..]),
            by,
        )
        .await;
        assert_eq!(verdict, ReportVerdict::Collision);
        let found = only_collision(&world).await;
        assert_eq!(
            (found.kind, found.n, found.k),
            (CollisionKind::Fork, 1, Some(4))
        );
        assert_eq!(found.endpoint_id, world.consumer.id);
        assert!(is_proven(&world, &found).await);
        let path = format!("/v1/endpoints/{}", world.producer.id);
        let producer: armour_api::Endpoint = world.operator.get(&path).await.unwrap();
        assert_eq!(producer.state, EndpointState::Active);
    }
}

#[tokio::test]
async fn a_copy_of_a_producer_inside_a_stream_is_found_by_its_two_sub_receipts() {
    let base = replica(&database().await).await;
    for by in [Role::Consumer, Role::Producer] {
        let (world, verdict) = contradicted(
            &base,
            |it| vec![it.opening(true), it.report(&it.line(8, 0, 0))],
            |it| it.report(&it.line(7, 9, 3)[2..]),
            by,
        )
        .await;
        assert_eq!(verdict, ReportVerdict::Collision);
        let found = only_collision(&world).await;
        assert_eq!(
            (found.kind, found.n, found.k),
            (CollisionKind::ProducerClone, 1, Some(2))
        );
        assert_eq!(found.endpoint_id, world.producer.id);
        assert!(is_proven(&world, &found).await);
    }
}

#[tokio::test]
async fn a_sub_ticket_beside_the_next_ticket_is_a_copy_of_the_consumer() {
    let base = replica(&database().await).await;
    type Reports = fn(&Streaming<'_>) -> Vec<LaneReport>;
    type Reported = Box<dyn Fn(&Streaming<'_>) -> LaneReport>;
    let short = |it: &Streaming<'_>| it.next(Some(sub_receipt(&it.line(4, 0, 0), 2)), 2, true);
    let none = |it: &Streaming<'_>| it.next(None, 2, false);
    let whole: Reports = |it| vec![it.opening(true), it.report(&it.line(6, 0, 0))];
    let half: Reports = |it| vec![it.opening(true), it.report(&it.line(5, 0, 0))];
    let closed: Reports = |it| {
        vec![
            it.opening(true),
            it.report(&it.line(4, 0, 0)),
            it.next(Some(sub_receipt(&it.line(4, 0, 0), 2)), 2, true),
        ]
    };
    let plain: Reports = |it| vec![it.opening(true), it.next(None, 2, false)];
    let onward = |it: &Streaming<'_>| it.report(&it.line(6, 0, 0)[4..]);
    let begun = |it: &Streaming<'_>| it.report(&it.line(1, 0, 0));
    let cases: [(Reports, Reported, u32); 7] = [
        (whole, Box::new(short), 3),
        (half, Box::new(short), 3),
        (whole, Box::new(none), 1),
        (closed, Box::new(onward), 3),
        (plain, Box::new(begun), 1),
        // Whatever of the line is missing before it.
        (plain, Box::new(onward), 3),
        // Sub-ticket 1 follows another ticket 1.
        (
            |it| vec![it.opening(true)],
            Box::new(|it| {
                let other = Streaming::new(it.bundle, 2);
                other.report(&other.line(2, 0, 0))
            }),
            1,
        ),
    ];
    for (at, (recorded, reported, k)) in cases.iter().enumerate() {
        for by in [Role::Consumer, Role::Producer] {
            let (world, verdict) = contradicted(&base, recorded, reported, by).await;
            assert_eq!(verdict, ReportVerdict::Collision, "{at}");
            let found = only_collision(&world).await;
            assert_eq!(
                (found.kind, found.n, found.k),
                (CollisionKind::Fork, 1, Some(*k)),
                "{at}"
            );
            assert_eq!(found.endpoint_id, world.consumer.id);
            assert!(is_proven(&world, &found).await, "{at}");
        }
    }
}

#[tokio::test]
async fn two_tickets_that_name_more_and_less_of_one_line_are_a_copy_of_the_consumer() {
    let base = replica(&database().await).await;
    let (world, verdict) = contradicted(
        &base,
        |it| {
            let line = it.line(6, 0, 0);
            let next = it.next(Some(sub_receipt(&line, 3)), 2, true);
            vec![it.opening(true), it.report(&line), next]
        },
        |it| it.next(Some(sub_receipt(&it.line(4, 0, 0), 2)), 1, true),
        Role::Producer,
    )
    .await;
    assert_eq!(verdict, ReportVerdict::Collision);
    let found = only_collision(&world).await;
    assert_eq!(
        (found.kind, found.n, found.k),
        (CollisionKind::Fork, 2, None)
    );
    let genuine = world.operator.evidence(found.id).await.unwrap();
    assert!(evidence::check(&genuine, None).unwrap().proven);
}

/// The consumer was answered by a copy of the producer, whose sub-receipt 2 its next message
/// names: sub-ticket 3, or ticket 2.
async fn disputed<'a>(world: &World, it: &Streaming<'a>, ticket: bool) -> Vec<SubBody> {
    let (own, taken) = (it.line(4, 0, 0), it.line(5, 9, 3));
    let recorded = vec![it.opening(true), it.report(&own)];
    accepted(world, &world.producer, recorded).await;
    let said = || match ticket {
        true => it.next(Some(sub_receipt(&taken, 2)), 1, true),
        false => it.report(&taken[4..]),
    };
    let verdict = say_one(world, &world.producer, said()).await;
    assert_eq!(verdict, ReportVerdict::Accepted);
    let verdict = say_one(world, &world.consumer, said()).await;
    assert_eq!(verdict, ReportVerdict::ShowReceipt { n: 1, k: 2 });
    taken
}

/// Lets the time pass that a consumer has to show a receipt.
async fn wait_for_it(database: &str, world: &World) {
    let earlier = "UPDATE lanes SET disputed_since = disputed_since - interval '3 minutes'";
    let mut connection = bound(database, world.tenant).await;
    let done = sqlx::query(earlier).execute(&mut connection).await;
    assert_eq!(done.unwrap().rows_affected(), 1);
}

#[tokio::test]
async fn a_foreign_sub_receipt_is_the_producers_if_it_is_shown_and_else_the_consumers() {
    let database = database().await;
    let base = replica(&database).await;
    for (ticket, shows) in [(true, true), (false, true), (true, false), (false, false)] {
        let world = World::new(&base, Policy::default()).await;
        let bundle = world.bundle().await;
        let it = Streaming::new(&bundle, 1);
        let taken = disputed(&world, &it, ticket).await;
        let kind = match shows {
            true => {
                let (_, receipt) = it.sub_run(&taken[..4]).heads(&bundle.context).unwrap();
                let mut receipt = receipt.unwrap();
                let show = async |shown: &SubEvidence| {
                    let shown = ShowReceipt {
                        bundle_id: bundle.id,
                        receipt: STANDARD.encode(shown.to_bytes()),
                    };
                    world.consumer.client(&base).show_receipt(&shown).await
                };
                let genuine = receipt.body.rest;
                receipt.body.rest[0] ^= 1;
                assert!(show(&receipt).await.is_err(), "nobody signed it");
                receipt.body.rest = genuine;
                show(&receipt).await.unwrap();
                CollisionKind::ProducerClone
            }
            false => {
                wait_for_it(&database, &world).await;
                world.consumer.heartbeat(&base, vec![bundle.id]).await;
                CollisionKind::ForeignReceipt
            }
        };
        let found = until("a finding", async || {
            let mut found = world.operator.collisions().await.unwrap().items;
            found.pop()
        })
        .await;
        assert_eq!((found.kind, found.n, found.k), (kind, 1, Some(2)));
        let side = match shows {
            true => Role::Producer,
            false => Role::Consumer,
        };
        assert_eq!(found.role, side);
        assert_eq!(is_proven(&world, &found).await, shows);
    }
}

#[tokio::test]
async fn a_producer_that_hides_what_a_ticket_names_does_not_have_its_consumer_accused() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let bundle = world.bundle().await;
    let it = Streaming::new(&bundle, 1);
    let line = it.line(4, 0, 0);
    let last = Some(sub_receipt(&line, 2));
    accepted(&world, &world.producer, vec![it.opening(true)]).await;
    // Neither with the producer's own receipt behind it nor without.
    for bodies in [1, 2] {
        accepted(&world, &world.producer, vec![it.next(last, bodies, false)]).await;
    }
    let honest = vec![it.report(&line), it.next(last, 2, true)];
    accepted(&world, &world.consumer, honest).await;
    wait_for_it(&database, &world).await;
    world.consumer.heartbeat(&base, vec![bundle.id]).await;
    until("the dispute's end", async || {
        let mut connection = bound(&database, world.tenant).await;
        let disputed = "SELECT count(*) FROM lanes WHERE disputed_since IS NOT NULL";
        let disputed: i64 = sqlx::query_scalar(disputed)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        (disputed == 0).then_some(())
    })
    .await;
    nobody_is_accused(&world).await;
}

fn heads(line: &[SubBody], it: &Streaming<'_>) -> [Vec<LaneMark>; 2] {
    let (ticket, receipt) = it.exchange();
    let [.., sub_ticket, sub_receipt] = line else {
        panic!("no line");
    };
    [
        vec![LaneMark::of(&ticket), LaneMark::of_sub(sub_ticket)],
        vec![LaneMark::of(&receipt), LaneMark::of_sub(sub_receipt)],
    ]
}

fn as_told(marks: &[LaneMark]) -> Vec<LaneHead> {
    let heads = marks.iter().map(|mark| LaneHead {
        lane: mark.lane.into(),
        n: mark.n,
        k: mark.k,
        hash: hex::encode(mark.hash.0),
    });
    heads.collect()
}

#[tokio::test]
async fn each_end_is_told_its_lines_heads_and_disowns_what_it_did_not_sign() {
    let base = replica(&database().await).await;
    for role in [Role::Consumer, Role::Producer] {
        let world = World::new(&base, Policy::default()).await;
        let bundle = world.bundle().await;
        let it = Streaming::new(&bundle, 1);
        let line = it.line(6, 0, 0);
        let recorded = vec![it.opening(true), it.report(&line)];
        accepted(&world, &world.consumer, recorded).await;
        let [consumers, producers] = heads(&line, &it);
        let (end, marks) = match role {
            Role::Consumer => (&world.consumer, consumers),
            Role::Producer => (&world.producer, producers),
        };
        let ack = end.heartbeat(&base, vec![bundle.id]).await;
        assert_eq!(ack.bundles[0].lanes, as_told(&marks));
        let (bundle, mark) = (*bundle.id.as_bytes(), marks[1]);
        end.tell(
            &base,
            LinkBody::Disown(vec![match role {
                Role::Consumer => Disowned::Ticket { bundle, mark },
                Role::Producer => Disowned::Receipt { bundle, mark },
            }]),
        )
        .await;
        let found = only_collision(&world).await;
        assert_eq!(
            (found.kind, found.n, found.k, found.role),
            (CollisionKind::Disowned, 1, Some(3), role)
        );
        // That it did not sign it is its own word.
        assert!(!is_proven(&world, &found).await);
    }
}

/// Retires the bundle at one end after so much of a line.
async fn retire(
    world: &World,
    bundle: &TestBundle<'_>,
    it: &Streaming<'_>,
    line: &[SubBody],
    role: Role,
) {
    let [consumers, producers] = heads(line, it);
    let (end, marks) = match role {
        Role::Consumer => (&world.consumer, consumers),
        Role::Producer => (&world.producer, producers),
    };
    let bundles = [(bundle.id, marks)];
    end.retire(&world.base, &bundles, false).await;
}

#[tokio::test]
async fn what_an_end_lists_of_a_line_is_late_after_it_retired_and_what_it_does_not_is_theft() {
    let base = replica(&database().await).await;
    for (role, recorded_first) in [
        (Role::Consumer, true),
        (Role::Consumer, false),
        (Role::Producer, true),
        (Role::Producer, false),
    ] {
        let world = World::new(&base, Policy::default()).await;
        let bundle = world.bundle().await;
        let it = Streaming::new(&bundle, 1);
        let line = it.line(6, 0, 0);
        let reporter = match role {
            Role::Consumer => &world.producer,
            Role::Producer => &world.consumer,
        };
        accepted(&world, reporter, vec![it.opening(true)]).await;
        match recorded_first {
            true => {
                accepted(&world, reporter, vec![it.report(&line)]).await;
                retire(&world, &bundle, &it, &line[..4], role).await;
            }
            false => {
                retire(&world, &bundle, &it, &line[..4], role).await;
                accepted(&world, reporter, vec![it.report(&line[..4])]).await;
                nobody_is_accused(&world).await;
                let verdict = say_one(&world, reporter, it.report(&line[4..])).await;
                assert_eq!(verdict, ReportVerdict::Collision, "{role:?}");
            }
        }
        let found = only_collision(&world).await;
        assert_eq!(
            (found.kind, found.n, found.k, found.role),
            (CollisionKind::AfterRetirement, 1, Some(3), role)
        );
        assert!(!is_proven(&world, &found).await);
    }
    // All that is listed is taken, whichever end retired, and whenever it comes.
    let world = World::new(&base, Policy::default()).await;
    let bundle = world.bundle().await;
    let it = Streaming::new(&bundle, 1);
    let line = it.line(6, 0, 0);
    accepted(&world, &world.consumer, vec![it.opening(true)]).await;
    for role in [Role::Consumer, Role::Producer] {
        retire(&world, &bundle, &it, &line, role).await;
    }
    for end in [&world.producer, &world.consumer] {
        let late = vec![it.report(&line[..3]), it.report(&line[2..])];
        accepted(&world, end, late).await;
    }
    nobody_is_accused(&world).await;
}

#[tokio::test]
async fn a_stream_of_a_day_costs_each_report_what_is_new_of_it() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let bundle = world.bundle().await;
    let it = Streaming::new(&bundle, 1);
    // Every 30 s for 24 h.
    let line = it.line(2 * 2_880, 0, 0);
    accepted(&world, &world.consumer, vec![it.opening(true)]).await;
    accepted(&world, &world.consumer, vec![it.report(&line[..5_600])]).await;
    let read = async || {
        let mut connection = bound(&database, world.tenant).await;
        let read = "SELECT coalesce(sum(idx_tup_fetch), 0)::bigint
                    FROM pg_stat_user_tables WHERE relname = 'sub_ticket_runs'";
        let read: i64 = sqlx::query_scalar(read)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        read
    };
    // The last of it one by one by one end, and again by the other, with the first of it.
    for pair in line[5_600..].chunks(2) {
        accepted(&world, &world.consumer, vec![it.report(pair)]).await;
    }
    let again = vec![it.report(&line[..2]), it.report(&line[5_740..])];
    accepted(&world, &world.producer, again).await;
    let next = it.next(Some(sub_receipt(&line, 2_880)), 2, true);
    accepted(&world, &world.producer, vec![next]).await;
    let rows = until("what was read", async || {
        let rows = read().await;
        (rows > 0).then_some(rows)
    })
    .await;
    assert!(rows < 60, "{rows} rows");
    nobody_is_accused(&world).await;
    let path = format!("/v1/bundles/{}", bundle.id);
    let found: armour_api::Bundle = world.operator.get(&path).await.unwrap();
    assert_eq!(found.state, BundleState::Active);
}

#[tokio::test]
async fn a_line_that_nobody_can_have_signed_is_refused() {
    let world = new_world().await;
    let bundle = world.bundle().await;
    let it = Streaming::new(&bundle, 1);
    let line = it.line(4, 0, 0);
    accepted(&world, &world.consumer, vec![it.opening(true)]).await;
    let report = || it.report(&line);
    let next = || it.next(Some(sub_receipt(&line, 2)), 1, true);
    let spoilt = [
        LaneReport {
            first: 0,
            ..report()
        },
        LaneReport {
            first: u64::MAX,
            ..report()
        },
        LaneReport {
            first: 2,
            ..report()
        },
        LaneReport {
            exchange: Some(0),
            ..report()
        },
        LaneReport {
            exchange: Some(u64::MAX),
            ..report()
        },
        LaneReport {
            lane: 1,
            ..report()
        },
        LaneReport {
            receipt: None,
            ..report()
        },
        LaneReport {
            before: next().before,
            ..report()
        },
        LaneReport {
            exchange: None,
            ..report()
        },
        LaneReport {
            before: Some(STANDARD.encode([1; 64])),
            ..next()
        },
        LaneReport {
            before: Some(STANDARD.encode([1; 131])),
            ..next()
        },
        LaneReport {
            before: it.next(Some(sub_receipt(&line, 1)), 1, true).before,
            ..next()
        },
    ];
    for (at, report) in spoilt.into_iter().enumerate() {
        let verdict = say_one(&world, &world.producer, report).await;
        assert!(
            matches!(verdict, ReportVerdict::Refused { .. }),
            "{at}: {verdict:?}"
        );
    }
    nobody_is_accused(&world).await;
}

/// Somebody may answer in its producer's place.
#[tokio::test]
async fn people_are_told_of_sub_tickets_that_a_bundles_producer_does_not_witness() {
    let database = database().await;
    let world = World::new(&replica(&database).await, Policy::default()).await;
    let bundle = world.bundle().await;
    let it = Streaming::new(&bundle, 1);
    let line = it.line(10, 0, 0);
    let (consumer, producer) = (&world.consumer, &world.producer);
    for end in [consumer, producer] {
        accepted(&world, end, vec![it.opening(true)]).await;
    }
    let mut connection = bound(&database, world.tenant).await;
    let mut earlier = async || {
        let sql = "UPDATE lanes SET sub_unseen_since = sub_unseen_since - interval '1 hour'
                   WHERE sub_unseen_since IS NOT NULL";
        let done = sqlx::query(sql).execute(&mut connection).await;
        done.unwrap().rows_affected()
    };
    // One that is not answered shows nothing.
    accepted(&world, consumer, vec![it.report(&line[..1])]).await;
    assert_eq!(earlier().await, 0);
    let mut watching = bound(&database, world.tenant).await;
    for (round, bodies) in [(1, 4), (2, 8), (3, 10)] {
        accepted(&world, consumer, vec![it.report(&line[..bodies])]).await;
        assert_eq!(earlier().await, 1);
        let told = until("an alarm", async || {
            let path = "/v1/audit?action=bundle.unwitnessed";
            let told: armour_api::Page<armour_api::AuditEntry> =
                world.operator.get(path).await.unwrap();
            (told.items.len() >= round).then_some(told.items)
        })
        .await;
        assert_eq!(told.len(), round);
        assert_eq!(told[0].target, bundle.id.to_string());
        // Once the producer reports it is over; its next ticket vouches for all of the line.
        let said = match round {
            3 => it.next(Some(sub_receipt(&line, 5)), 1, true),
            _ => it.report(&line[..bodies]),
        };
        accepted(&world, producer, vec![said]).await;
        assert_eq!(earlier().await, 0);
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
    nobody_is_accused(&world).await;
}

/// The agent has ended its bundle; people are told whose key it was.
#[tokio::test]
async fn a_checkpoint_of_foreign_hands_is_an_event_and_an_entry_of_its_own() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let bundle = world.bundle().await;
    let it = Streaming::new(&bundle, 1);
    let alarm = |bundle_id, checkpoint: Option<Vec<u8>>| Heartbeat {
        error: Some("what went wrong last".to_owned()),
        foreign_checkpoints: vec![ForeignCheckpoint {
            bundle_id,
            lane: 0,
            checkpoint: checkpoint.map(|bytes| STANDARD.encode(bytes)),
        }],
        ..Heartbeat::default()
    };
    let genuine = it.checkpoint(Role::Consumer);
    let mut spoilt = it.checkpoint(Role::Producer);
    *spoilt.last_mut().unwrap() ^= 1;
    let (consumer, producer) = (&world.consumer, &world.producer);
    producer
        .beat(&base, &alarm(bundle.id, Some(genuine.clone())))
        .await;
    // Once of each side's word, and of its own bundles alone.
    producer.beat(&base, &alarm(bundle.id, None)).await;
    producer.beat(&base, &alarm(world.pair.id, None)).await;
    consumer.beat(&base, &alarm(bundle.id, Some(spoilt))).await;
    let action = "bundle.foreign-checkpoint";
    let path = format!("/v1/audit?action={action}");
    let entries: armour_api::Page<armour_api::AuditEntry> =
        world.operator.get(&path).await.unwrap();
    let details: Vec<_> = entries.items.iter().rev().map(|one| &one.detail).collect();
    assert_eq!(details.len(), 2, "{details:?}");
    let by = [(producer.id, Some(consumer.id)), (consumer.id, None)];
    for (detail, (reporter, signed_by)) in details.into_iter().zip(by) {
        assert_eq!(detail["reporter_id"], reporter.to_string());
        assert_eq!(detail["signed_by"], serde_json::json!(signed_by));
        let kept = signed_by.map(|_| STANDARD.encode(&genuine));
        assert_eq!(detail["checkpoint"], serde_json::json!(kept));
        let place = signed_by.map(|_| (1, 2)).unzip();
        assert_eq!(detail["n"], serde_json::json!(place.0));
        assert_eq!(detail["k"], serde_json::json!(place.1));
    }
    let mut sql = bound(&database, world.tenant).await;
    let told: i64 = sqlx::query_scalar("SELECT count(*) FROM events WHERE kind = $1")
        .bind(action)
        .fetch_one(&mut sql)
        .await
        .unwrap();
    assert_eq!(told, 2);
    nobody_is_accused(&world).await;
}
