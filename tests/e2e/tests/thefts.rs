//! Thefts of a running consumer's state, tried on the whole system: what the thief gets,
//! and how long until it is cut off.

use std::time::{Duration, Instant};

use armour_api::{
    Bundle, BundleState, ChooseStart, CollisionKind, Endpoint, Page, PairState, Policy, Role,
    StartChoice,
};
use armour_e2e::{
    ledger::Marks,
    process::until,
    system::{Setup, System, brisk},
    thief::{Thief, steal_disk, steal_memory},
};
use rustix::process::Signal;

async fn system(policy: Policy) -> System {
    let setup = Setup {
        policy,
        exports: true,
        ..Setup::default()
    };
    System::set_up(setup).await.unwrap()
}

/// Waits until the collision is declared and both are refused; its kind and how long.
async fn cut_off(system: &System, thief: &Thief) -> (CollisionKind, Duration) {
    let since = Instant::now();
    until("the collision", || async {
        system.collisions().await.unwrap_or(0) > 0
    })
    .await
    .unwrap();
    let took = since.elapsed();
    for base in [&system.base, &thief.base] {
        until("the refusal", || async {
            system.get_at(base, "/echo?id=refused").await.is_err()
        })
        .await
        .unwrap();
    }
    let pair: armour_api::Pair = system
        .operator
        .get(&format!("/v1/pairs/{}", system.pair))
        .await
        .unwrap();
    let collisions = system.operator.collisions().await.unwrap().items;
    assert_eq!(collisions.len(), 1, "{collisions:?}");
    // A start is of no pair: the endpoint has ended, and that is enough.
    let of_pair = collisions[0].pair_id.is_some();
    assert_eq!(pair.state == PairState::Disconnected, of_pair);
    let bundles: Page<Bundle> = system.operator.get("/v1/bundles").await.unwrap();
    let alive = bundles
        .items
        .iter()
        .filter(|one| one.state == BundleState::Active);
    assert_eq!(alive.count(), 0, "every bundle of the consumer is dead");
    (collisions[0].kind, took)
}

/// Acts until it is refused, at most so often; how often it was served.
async fn act(system: &System, thief: &Thief, most: u32) -> u32 {
    for number in 0..most {
        let target = format!("/echo?id=thief-{number}");
        if system.get_at(&thief.base, &target).await.is_err() {
            return number;
        }
    }
    most
}

fn shown(attack: &str, served: u32, found: (CollisionKind, Duration)) {
    println!(
        "{attack}: the thief was served {served} times; {} after {} ms",
        found.0.into_str(),
        found.1.as_millis()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thief_that_acts_before_or_after_its_victim_is_cut_off_with_it() {
    for thief_first in [true, false] {
        // The victim is busy enough for no empty exchange to come in between.
        let policy = Policy {
            empty_exchange_interval_ms: 60_000,
            heartbeat_interval_ms: 20_000,
            // On a lane that its victim does not use a thief would be the first.
            max_lanes: 1,
            ..brisk()
        };
        let system = system(policy).await;
        system.get("/echo?id=before").await.unwrap();
        let thief = steal_memory(&system, "thief").await.unwrap();
        let mut served = 0;
        if thief_first {
            served = act(&system, &thief, 3).await;
            assert_eq!(served, 3);
            let _ = system.get("/echo?id=victim").await;
        } else {
            system.get("/echo?id=victim").await.unwrap();
            let refused = system.get_at(&thief.base, "/echo?id=thief").await;
            assert!(refused.is_err());
        }
        let found = cut_off(&system, &thief).await;
        // Its heartbeat may be quicker than its next ticket.
        let kinds = matches!(found.0, CollisionKind::Fork | CollisionKind::Disowned);
        assert!(kinds, "{found:?}");
        assert!(!system.nginx.requests().unwrap().contains("id=thief "));
        shown(
            if thief_first {
                "thief first"
            } else {
                "thief second"
            },
            served,
            found,
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_is_sealed_and_a_copy_at_rest_does_no_harm() {
    let system = system(brisk()).await;
    // It stays idle: what a listening thief makes of its state is tried on lanes, in
    // `crates/protocol/tests/v2_attacks.rs`.
    let _at_rest = steal_memory(&system, "thief").await.unwrap();
    system.hop.record();
    for number in 0..20 {
        system
            .get(&format!("/echo?id=unseen-{number}"))
            .await
            .unwrap();
    }
    let wire = system.hop.recorded();
    assert!(!wire.windows(6).any(|window| window == b"unseen"));
    // Both ends go on with every lane.
    let later = Marks::at_heads(&system, 1).await.unwrap();
    until("another exchange of each lane", || async {
        later.are_reported(&system).await.unwrap()
    })
    .await
    .unwrap();
    assert_eq!(system.collisions().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thief_that_blocks_its_victim_is_cut_off_once_the_victim_is_back() {
    let policy = Policy {
        empty_exchange_interval_ms: 60_000,
        ..brisk()
    };
    let system = system(policy).await;
    system.get("/echo?id=before").await.unwrap();
    let thief = steal_memory(&system, "thief").await.unwrap();
    system.consumer.signal(Signal::STOP).unwrap();
    let served = act(&system, &thief, 20).await;
    assert_eq!(served, 20, "a victim that cannot act cannot protest");
    system.consumer.signal(Signal::CONT).unwrap();
    // It need not be called: its heartbeat is enough.
    let found = cut_off(&system, &thief).await;
    assert!(
        matches!(found.0, CollisionKind::Fork | CollisionKind::Disowned),
        "{found:?}"
    );
    shown("victim blocked", served, found);
}

/// The disk holds no lanes, so the thief has to start as the endpoint: while its owner lives,
/// that is refused, and people are told.
#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_disk_is_of_no_use_while_its_owner_lives() {
    let system = system(brisk()).await;
    system.get("/echo?id=before").await.unwrap();
    let thief = steal_disk(&system, "thief").unwrap();
    let told = "/v1/audit?action=endpoint.in-use&";
    until("the news of a second start", || async {
        let entries = system.all::<armour_api::AuditEntry>(told).await;
        entries.is_ok_and(|entries| !entries.is_empty())
    })
    .await
    .unwrap();
    assert_eq!(act(&system, &thief, 5).await, 0);
    system.get("/echo?id=owner").await.unwrap();
    assert_eq!(system.collisions().await.unwrap(), 0);
    // People choose; the thief is turned away for good, and its owner goes on.
    let endpoint = consumer(&system).await;
    let path = format!("/v1/endpoints/{}/start-choice", endpoint.id);
    let keep = ChooseStart {
        keep: StartChoice::Older,
    };
    let _: serde_json::Value = system.operator.post(&path, &keep).await.unwrap();
    until("the end of the thief", || async {
        thief.log().unwrap().contains("start-ended")
    })
    .await
    .unwrap();
    system.get("/echo?id=after").await.unwrap();
    assert_eq!(system.collisions().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_disk_of_a_victim_that_is_blocked_is_found_once_it_is_back() {
    let system = system(brisk()).await;
    system.get("/echo?id=before").await.unwrap();
    system.consumer.signal(Signal::STOP).unwrap();
    let thief = steal_disk(&system, "thief").unwrap();
    until("the thief to be served", || async {
        system.get_at(&thief.base, "/echo?id=thief").await.is_ok()
    })
    .await
    .unwrap();
    let served = act(&system, &thief, 10).await;
    assert_eq!(served, 10);
    system.consumer.signal(Signal::CONT).unwrap();
    // It hears that its start has ended, and begins another, which has the counter of the thief's.
    let found = cut_off(&system, &thief).await;
    assert_eq!(found.0, CollisionKind::Start);
    shown("stolen disk, victim blocked", served, found);
}

async fn consumer(system: &System) -> Endpoint {
    let endpoints: Vec<Endpoint> = system.all("/v1/endpoints?").await.unwrap();
    let mut consumers = endpoints
        .into_iter()
        .filter(|one| one.role == Role::Consumer);
    consumers.next().unwrap()
}
