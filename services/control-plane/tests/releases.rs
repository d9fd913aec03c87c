//! Agents of other releases, and what agents tell that earlier ones did not.

use armour_api::{AnnounceStart, Endpoint, Heartbeat, LinkOutcome, Policy};
use armour_client::Client;
use armour_protocol::v2::{VERSION, identity::body::LinkBody};
use base64::{Engine, engine::general_purpose::STANDARD};

use crate::common::{TestEndpoint, World, database, replica};

async fn new_world() -> (String, World) {
    let base = replica(&database().await).await;
    let world = World::new(&base, Policy::default()).await;
    (base, world)
}

async fn endpoint(world: &World, endpoint: &TestEndpoint) -> Endpoint {
    let path = format!("/v1/endpoints/{}", endpoint.id);
    world.operator.get(&path).await.unwrap()
}

#[tokio::test]
async fn a_heartbeat_of_a_later_release_is_taken_for_what_is_known_of_it() {
    let (base, world) = new_world().await;
    let beat = async |body: &str| {
        let body = LinkBody::Heartbeat(body.as_bytes().to_vec());
        world.producer.tell(&base, body).await.outcome
    };
    let later = r#"{"bundles":[],"error":"its upstream failed","later":{"since":1}}"#;
    let told = beat(later).await;
    assert!(matches!(told, Some(LinkOutcome::Heartbeat(_))), "{told:?}");
    let seen = endpoint(&world, &world.producer).await;
    assert_eq!(seen.last_error.as_deref(), Some("its upstream failed"));
    let Some(LinkOutcome::Items { items }) = beat(r#"{"bundles":7}"#).await else {
        panic!("what cannot be read is refused");
    };
    let problem = items.into_iter().next().unwrap().problem.unwrap();
    assert!(problem.detail.contains("malformed"), "{}", problem.detail);
}

#[tokio::test]
async fn a_start_of_another_version_is_told_which_side_is_behind() {
    let (base, world) = new_world().await;
    for (version, side) in [
        (VERSION + 1, "upgrade the control plane"),
        (VERSION - 1, "upgrade the agent"),
        (VERSION, "not a signed start"),
    ] {
        let announcement = AnnounceStart {
            tenant_id: world.tenant,
            start: STANDARD.encode([version, 7, 7]),
            address: None,
            host: None,
            process: None,
        };
        let client = Client::new(&base, "").unwrap();
        let announced = client.announce_start(&announcement).await;
        let refused = announced.unwrap_err().to_string();
        assert!(refused.contains(side), "{refused}");
    }
}

#[tokio::test]
async fn an_error_told_later_does_not_hide_that_an_agent_is_permissive() {
    let (base, world) = new_world().await;
    let producer = &world.producer;
    assert_eq!(endpoint(&world, producer).await.plain_calls, None);
    for (calls, error) in [(Some(0), None), (Some(7), Some("the upstream failed"))] {
        let heartbeat = Heartbeat {
            plain_calls: calls,
            error: error.map(str::to_owned),
            ..Heartbeat::default()
        };
        producer.beat(&base, &heartbeat).await;
        let seen = endpoint(&world, producer).await;
        assert_eq!(
            (seen.plain_calls, seen.last_error.as_deref()),
            (calls, error)
        );
    }
    // It was started again without the mode.
    producer.heartbeat(&base, Vec::new()).await;
    assert_eq!(endpoint(&world, producer).await.plain_calls, None);
}
