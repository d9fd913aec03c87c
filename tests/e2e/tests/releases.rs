//! Agents and control planes of two releases. Those that stand for a later one are of the same
//! build, told by `ARMOUR_OTHER_RELEASE` how they differ: fields and members that this release does
//! not know, another version of the protocol, starts of another version.

use armour_api::{Endpoint, Role};
use armour_e2e::{
    process::until,
    system::{Releases, Setup, System},
};
use serde_json::Value;

const NEWER: &str = "newer";
/// What only a later release sends.
const LATER: &str = "of-a-later-release";

async fn begun(releases: Releases) -> System {
    let setup = Setup {
        releases,
        ..Setup::default()
    };
    System::begin(setup).await.unwrap()
}

async fn serves(system: &System) {
    system.until_served().await.unwrap();
    let body = vec![7; 300_000];
    let put = system.put("/upload/later", body.clone()).await;
    put.unwrap();
    assert_eq!(system.get("/upload/later").await.unwrap(), body);
    assert_eq!(system.collisions().await.unwrap(), 0);
}

fn holds(wire: &[u8], text: &str) -> bool {
    wire.windows(text.len())
        .any(|window| window == text.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_consumer_calls_an_earlier_producer_and_the_other_way_round() {
    for role in [Role::Consumer, Role::Producer] {
        let later = Some(NEWER);
        let releases = match role {
            Role::Consumer => Releases {
                consumer: later,
                ..Releases::default()
            },
            Role::Producer => Releases {
                producer: later,
                ..Releases::default()
            },
        };
        let system = begun(releases).await;
        system.hop.record();
        serves(&system).await;
        assert!(
            holds(&system.hop.recorded(), LATER),
            "it is of this release"
        );
        let ends: Vec<Endpoint> = system.all("/v1/endpoints?").await.unwrap();
        let later = ends.iter().filter(|one| one.version.ends_with("later"));
        assert!(later.map(|one| one.role).eq([role]));
        let errors = ends.iter().filter_map(|one| one.last_error.as_deref());
        let of_versions = ["upgrade", "malformed", "unknown field"];
        let strange = errors.filter(|error| of_versions.iter().any(|what| error.contains(what)));
        assert_eq!(strange.count(), 0, "{ends:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_of_both_releases_are_served_by_a_later_control_plane() {
    let system = begun(Releases {
        control_plane: Some(NEWER),
        consumer: Some(NEWER),
        producer: None,
    })
    .await;
    serves(&system).await;
    let health: Value = system.operator.get("/v1/health").await.unwrap();
    assert!(health["of_a_later_release"].is_object(), "{health}");
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_without_a_version_in_common_say_which_of_them_to_upgrade() {
    let next = Some("protocol");
    for (consumer, producer, side) in [(next, None, "producer"), (None, next, "consumer")] {
        let system = begun(Releases {
            consumer,
            producer,
            control_plane: None,
        })
        .await;
        let upgrade = format!("upgrade the {side}'s agent");
        until("the refusal", || async {
            let Ok(answer) = system.http.get(&system.base).send().await else {
                return false;
            };
            let status = answer.status().as_u16();
            let problem: Value = answer.json().await.unwrap_or_default();
            let detail = problem["detail"].as_str().unwrap_or_default();
            status == 501
                && problem["type"] == "urn:armour:problem:protocol-version"
                && detail.contains(&upgrade)
        })
        .await
        .unwrap();
        until("the operator's word of it", || async {
            let ends = system.all::<Endpoint>("/v1/endpoints?").await;
            let ends = ends.unwrap_or_default();
            let mut told = ends.iter().filter_map(|one| one.last_error.as_deref());
            told.any(|error| error.contains(&upgrade))
        })
        .await
        .unwrap();
        assert_eq!(system.collisions().await.unwrap(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whose_start_is_too_new_ends_and_says_that_the_control_plane_is_behind() {
    let mut system = begun(Releases {
        consumer: Some("start"),
        ..Releases::default()
    })
    .await;
    system.consumer.until_ended().await.unwrap();
    let log = system.consumer.log().unwrap();
    assert!(log.contains("upgrade the control plane"), "{log}");
}
