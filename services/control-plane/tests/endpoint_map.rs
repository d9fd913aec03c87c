//! What the audit log's map says of endpoints: each change of one, and nothing that somebody
//! wrote into the database.

use armour_ambient::Ambient;
use armour_api::{BundleGrant, Endpoint, EndpointState, LogHead, Policy, Reason};
use armour_client::Client;
use armour_protocol::v2::identity::start::SignedStart;
use armour_storage::{Keyring, Store};
use armour_transparency::{
    TreeHead,
    export::{Verified, Verifier},
    head::public_key,
    pin::Pin,
    states::{GrantedEnd, StateError, check_states},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::SigningKey;
use uuid::Uuid;

use crate::common::{MASTER_KEYS, World, bound, connections, database, replica};

/// What an agent checks of a grant's ends, once it trusts the head.
fn check(pin: &mut Pin, grant: &BundleGrant) -> Result<(), StateError> {
    let proof = grant.log.as_ref().unwrap();
    pin.follow(proof, &[]).unwrap();
    let ends = [
        (&grant.consumer, None),
        (&grant.producer, grant.producer_address.clone()),
    ];
    let ends = ends.map(|(end, address)| {
        let start = STANDARD.decode(&end.start).unwrap();
        let start = SignedStart::from_bytes(&start).unwrap();
        GrantedEnd {
            endpoint: end.endpoint_id,
            start: start.unverified().hash().0,
            certificate: None,
            address,
        }
    });
    check_states(proof, &ends)
}

#[track_caller]
fn otherwise(checked: Result<(), StateError>, what: &str) {
    let Err(StateError::Otherwise(why)) = checked else {
        panic!("{checked:?}");
    };
    assert!(why.contains(what), "{why}");
}

async fn pin_of(client: &Client) -> Pin {
    Pin::first(&client.log_head(None).await.unwrap()).unwrap()
}

async fn revoke(world: &World, endpoint: Uuid) {
    let reason = Reason {
        reason: "stolen".into(),
    };
    let path = format!("/v1/endpoints/{endpoint}/revoke");
    let revoked: Endpoint = world.operator.post(&path, &reason).await.unwrap();
    assert_eq!(revoked.state, EndpointState::Revoked);
}

async fn verified(world: &World) -> Verified {
    let answer = world.operator.stream("/v1/audit/export").await.unwrap();
    let text = answer.text().await.unwrap();
    let mut lines = text.lines();
    let mut verifier = Verifier::begin(lines.next().unwrap(), None).unwrap();
    for line in lines {
        verifier.line(line).unwrap();
    }
    verifier.finish().unwrap()
}

/// Changes what the database has of a tenant.
async fn write(database: &str, tenant: Uuid, statements: &[&str]) {
    let mut connection = bound(database, tenant).await;
    for statement in statements {
        sqlx::query(sqlx::AssertSqlSafe(*statement))
            .execute(&mut connection)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn grants_prove_what_both_ends_are_through_starts_and_revocations() {
    let base = replica(&database().await).await;
    let world = World::new(&base, Policy::default()).await;
    let client = world.consumer.client(&base);
    let mut pin = pin_of(&client).await;
    let pinned = |pin: &Pin| Some(pin.head.size);
    let draw = async |pin: &Pin| world.consumer.draw(&base, world.pair.id, pinned(pin)).await;
    let again = async |pin: &Pin, grant: &BundleGrant| {
        let granted = client.bundle_grant(grant.bundle.id, pinned(pin)).await;
        granted.unwrap()
    };
    let first = draw(&pin).await;
    check(&mut pin, &first).unwrap();
    // Another start of the producer: the earlier one's bundle is not borne out any more.
    world.producer.serve(&base).await;
    let granted = again(&pin, &first).await;
    otherwise(check(&mut pin, &granted), "has another start");
    let second = draw(&pin).await;
    check(&mut pin, &second).unwrap();
    revoke(&world, world.producer.id).await;
    let granted = again(&pin, &second).await;
    otherwise(check(&mut pin, &granted), "is revoked");
    assert!(verified(&world).await.map);
}

#[tokio::test]
async fn a_thief_who_writes_into_the_database_revives_and_moves_no_endpoint() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let client = world.consumer.client(&base);
    let mut pin = pin_of(&client).await;
    let grant = world
        .consumer
        .draw(&base, world.pair.id, Some(pin.head.size))
        .await;
    let again = async |pin: &Pin| {
        let granted = client.bundle_grant(grant.bundle.id, Some(pin.head.size));
        granted.await.unwrap()
    };
    let moved = "UPDATE endpoints SET address = 'http://127.0.0.1:99' WHERE role = 'producer'";
    write(&database, world.tenant, &[moved]).await;
    let granted = again(&pin).await;
    assert_eq!(
        granted.producer_address.as_deref(),
        Some("http://127.0.0.1:99")
    );
    otherwise(check(&mut pin, &granted), "has another address");

    revoke(&world, world.producer.id).await;
    let revived = [
        "UPDATE endpoints SET state = 'active' WHERE role = 'producer'",
        "UPDATE endpoint_starts SET ended_at = NULL",
        "UPDATE bundles SET state = 'active', disconnected_at = NULL",
    ];
    write(&database, world.tenant, &revived).await;
    let granted = again(&pin).await;
    otherwise(check(&mut pin, &granted), "is revoked");
    // The map takes changes from the log alone, so what follows revives it no more.
    world.producer.serve(&base).await;
    let drawn = world
        .consumer
        .draw(&base, world.pair.id, Some(pin.head.size))
        .await;
    otherwise(check(&mut pin, &drawn), "is revoked");
    assert!(verified(&world).await.map);
}

#[tokio::test]
async fn a_map_or_a_log_that_its_key_did_not_sign_is_not_signed_anew() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let client = world.consumer.client(&base);
    let pinned = Some(pin_of(&client).await.head.size);
    let grant = world.consumer.draw(&base, world.pair.id, pinned).await;
    let revived = [
        "UPDATE map_nodes SET hash = decode(repeat('11', 32), 'hex')",
        "UPDATE journals SET map_root = decode(repeat('11', 32), 'hex')",
        "UPDATE journals SET frontier = decode(repeat('11', 32 * bit_count(
           int8send(audit_size))::int), 'hex')",
    ];
    for forged in revived {
        let before = "CREATE TABLE kept_nodes AS SELECT * FROM map_nodes";
        let journals = "CREATE TABLE kept_journals AS SELECT * FROM journals";
        write(&database, world.tenant, &[before, journals, forged]).await;
        let granted = client.bundle_grant(grant.bundle.id, pinned).await;
        assert!(granted.is_err(), "{forged}");
        let reason = Reason {
            reason: "stolen".into(),
        };
        let path = format!("/v1/endpoints/{}/revoke", world.producer.id);
        let revoked: Result<Endpoint, _> = world.operator.post(&path, &reason).await;
        assert!(revoked.is_err(), "{forged}");
        let restored = [
            "UPDATE map_nodes n SET hash = k.hash FROM kept_nodes k
             WHERE (k.depth, k.path) = (n.depth, n.path)",
            "UPDATE journals j SET map_root = k.map_root, frontier = k.frontier
             FROM kept_journals k",
            "DROP TABLE kept_nodes",
            "DROP TABLE kept_journals",
        ];
        write(&database, world.tenant, &restored).await;
        client.bundle_grant(grant.bundle.id, pinned).await.unwrap();
    }
}

#[tokio::test]
async fn a_log_that_is_idle_has_heads_of_ever_later_times() {
    let base = replica(&database().await).await;
    let world = World::new(&base, Policy::default()).await;
    let client = world.consumer.client(&base);
    let one = client.log_head(None).await.unwrap();
    let other = client.log_head(None).await.unwrap();
    assert_eq!(one.head.size, other.head.size);
    assert_eq!(one.head.map_root, other.head.map_root);
    assert!(one.head.at < other.head.at);
    let mut pin = Pin::first(&one).unwrap();
    let later = armour_api::KeyProof {
        head: other.head.clone(),
        consistency: Vec::new(),
        rotations: Vec::new(),
        keys: Vec::new(),
        states: Vec::new(),
    };
    pin.follow(&later, &[]).unwrap();
    assert_eq!(pin.head, other.head);
}

#[tokio::test]
async fn a_log_from_before_there_were_maps_gets_one_of_endpoints_as_they_are() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    revoke(&world, world.consumer.id).await;
    let mut keyring = Keyring::new();
    keyring.add(1, MASTER_KEYS[0]).unwrap();
    let keyring = std::sync::Arc::new(keyring);
    let to = connections(&database, 3);
    let store = Store::connect(&to, keyring, Ambient::system());
    let store = store.await.unwrap();
    // As the version before left it: no map, and a head that says nothing of one.
    let last = {
        let mut tx = store.tenant(world.tenant).await.unwrap();
        let head = tx.audit_tree().last_entrys_head().await.unwrap();
        let seed = tx.secrets().get("log").await.unwrap().unwrap();
        let key = SigningKey::from_bytes(seed.first_chunk().unwrap());
        let head = TreeHead::check(&head, &key.verifying_key()).unwrap();
        let without_map = TreeHead {
            map_root: None,
            ..head
        };
        (without_map.size, hex::encode(without_map.sign(&key)))
    };
    let signed = format!("UPDATE journals SET head_signature = '\\x{}'", last.1);
    let signed_entry = format!(
        "UPDATE audit_entries SET signature = '\\x{}' WHERE seq = {}",
        last.1, last.0
    );
    let before = [
        "DELETE FROM map_nodes",
        "UPDATE journals SET map_root = NULL",
        "UPDATE audit_entries SET map_root = NULL",
        &signed,
        &signed_entry,
    ];
    write(&database, world.tenant, &before).await;
    let client = world.producer.client(&base);
    let without = client.log_head(None).await.unwrap();
    assert_eq!(without.head.map_root, None);
    let mut tx = store.tenant(world.tenant).await.unwrap();
    assert!(tx.endpoint_map().begin().await.unwrap());
    assert!(!tx.endpoint_map().begin().await.unwrap());
    tx.commit().await.unwrap();
    let head: LogHead = world.operator.get("/v1/audit/head").await.unwrap();
    TreeHead::check(&head.head, &public_key(&head.log_key).unwrap()).unwrap();
    assert_eq!(head.head.size, last.0 + 1);
    let ids = [world.consumer.id, world.producer.id];
    let mut tx = store.tenant(world.tenant).await.unwrap();
    let (_, states) = tx.endpoint_map().latest(&ids).await.unwrap();
    let said: Vec<_> = states.iter().map(|state| state.state).collect();
    assert_eq!(said, [EndpointState::Revoked, EndpointState::Active]);
    let start = STANDARD.encode(world.producer.start_hash().0);
    assert_eq!(states[1].start.as_ref(), Some(&start));
}
