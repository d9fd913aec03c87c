//! The audit log's key hands over to the next: who knows the old one follows, nobody else
//! can make it, and what the old one signs afterwards counts for nothing.

use armour_ambient::Ambient;
use armour_api::{AuditEntry, ExportHeader, LogHead, LogKeyRotation, Page, Policy, Role};
use armour_client::Client;
use armour_transparency::{
    KeyChain,
    export::{ExportError, Verified, Verifier},
    head::public_key,
    pin::{Claimed, Pin},
    rotation::ROTATE,
};
use ed25519_dalek::VerifyingKey;
use serde_json::json;

use crate::{
    common::{As, PLATFORM, World, bound, call, database, replica},
    restored::copy,
};

async fn rotate(world: &World) -> LogKeyRotation {
    let rotated = world.operator.rotate_log_key("a year is over").await;
    rotated.unwrap()
}

/// Some entries more.
async fn grow(operator: &Client, entries: usize) {
    for _ in 0..entries {
        let name = Ambient::system().opaque_id().to_string();
        operator.create_party(Role::Consumer, &name).await.unwrap();
    }
}

async fn export(world: &World) -> Vec<String> {
    let answer = world.operator.stream("/v1/audit/export").await.unwrap();
    let text = answer.text().await.unwrap();
    text.lines().map(str::to_owned).collect()
}

fn verify(lines: &[String], key: Option<&VerifyingKey>) -> Result<Verified, ExportError> {
    let mut verifier = Verifier::begin(&lines[0], key)?;
    for line in &lines[1..] {
        verifier.line(line)?;
    }
    verifier.finish()
}

#[tokio::test]
async fn whoever_knows_an_earlier_key_follows_the_log_to_the_present_one() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let client = world.consumer.client(&base);
    let first = client.log_head(None).await.unwrap();
    assert_eq!(first.rotations, []);
    let mut pin = Pin::first(&first).unwrap();
    let rotated = rotate(&world).await;
    assert_eq!((rotated.number, &rotated.old_key), (1, &first.log_key));
    // The rotation is itself an entry, the first that the new key signs.
    let page: Page<AuditEntry> = world.operator.get("/v1/audit?action=audit.").await.unwrap();
    let [entry] = &page.items[..] else {
        panic!("{page:?}")
    };
    assert_eq!(
        (entry.action.as_str(), entry.seq as u64),
        (ROTATE, rotated.size + 1)
    );
    let says = json!({ "number": 1, "old_key": rotated.old_key, "new_key": rotated.new_key,
        "reason": "a year is over" });
    // Beside the call that it came with.
    let mut detail = entry.detail.clone();
    assert!(detail.as_object_mut().unwrap().remove("request").is_some());
    assert_eq!(detail, says);
    let head: LogHead = world.operator.get("/v1/audit/head").await.unwrap();
    assert_eq!(
        (head.head.size, &head.log_key),
        (rotated.size + 1, &rotated.new_key)
    );
    assert_eq!(head.rotations, std::slice::from_ref(&rotated));
    // An endpoint that slept meanwhile follows with its next bundle, through two at once.
    grow(&world.operator, 3).await;
    let again = rotate(&world).await;
    assert_eq!((again.number, &again.old_key), (2, &rotated.new_key));
    let pinned = Some(pin.head.size);
    let grant = world.consumer.draw(&base, world.pair.id, pinned).await;
    let claimed = Claimed {
        endpoint: grant.bundle.producer_endpoint_id,
        role: Role::Producer,
        signing_key: &grant.producer.signing_key,
    };
    pin.follow(grant.log.as_ref().unwrap(), &[claimed]).unwrap();
    assert_eq!(pin.keys.present(), again.new_key);
    // Whoever has seen the rotations is not told of them again, and goes on.
    let later = client.log_head(Some(pin.head.size)).await.unwrap();
    assert_eq!(later.rotations, []);
    // One that enrols now knows every key of the log.
    let fresh = Pin::first(&client.log_head(None).await.unwrap()).unwrap();
    assert_eq!(fresh.keys, pin.keys);
    for key in [&first.log_key, &rotated.new_key, &again.new_key] {
        assert!(fresh.keys.holds(&public_key(key).unwrap()));
    }
    // The old secret is gone: one is kept, and it is the present key's.
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM secrets WHERE name LIKE 'log%'")
        .fetch_one(&mut bound(&database, world.tenant).await)
        .await
        .unwrap();
    assert_eq!(kept, 1);
}

#[tokio::test]
async fn an_export_is_verified_through_rotations_and_none_is_left_out_or_made_up() {
    let base = replica(&database().await).await;
    let world = World::new(&base, Policy::default()).await;
    let first: LogHead = world.operator.get("/v1/audit/head").await.unwrap();
    let one = rotate(&world).await;
    grow(&world.operator, 2).await;
    let two = rotate(&world).await;
    grow(&world.operator, 2).await;
    let lines = export(&world).await;
    for key in [&first.log_key, &one.new_key, &two.new_key] {
        verify(&lines, Some(&public_key(key).unwrap())).unwrap();
    }
    let stranger = world.consumer.key.verifying_key();
    let refused = verify(&lines, Some(&stranger)).unwrap_err();
    assert_eq!(refused, ExportError::ForeignKey);

    let header: ExportHeader = serde_json::from_str(&lines[0]).unwrap();
    let with = |alter: &dyn Fn(&mut ExportHeader)| {
        let (mut lines, mut header) = (lines.clone(), header.clone());
        alter(&mut header);
        lines[0] = serde_json::to_string(&header).unwrap();
        verify(&lines, None)
    };
    // Rotations left out: the header names no way to its key, or the entries no key of it.
    assert!(with(&|header| header.rotations.clear()).is_err());
    assert!(with(&|header| drop(header.rotations.remove(0))).is_err());
    let hidden = with(&|header| {
        header.rotations.clear();
        header.log_key = first.log_key.clone();
    });
    let seq = one.size + 1;
    let of_entry = matches!(hidden, Err(ExportError::Altered { seq: at, .. }) if at == seq);
    assert!(of_entry, "{hidden:?}");
    assert!(with(&|header| header.rotations[0].size += 1).is_err());
    assert!(with(&|header| header.rotations.swap(0, 1)).is_err());
}

#[tokio::test]
async fn a_rotation_of_another_tenants_log_is_refused_and_not_shown() {
    let base = replica(&database().await).await;
    let world = World::new(&base, Policy::default()).await;
    let other = World::new(&base, Policy::default()).await;
    let rotated = rotate(&other).await;
    let own: LogHead = world.operator.get("/v1/audit/head").await.unwrap();
    assert_eq!(own.rotations, []);
    let mut keys = KeyChain::new(world.tenant, &own.log_key, &[]).unwrap();
    assert!(keys.extend(&[rotated]).is_err());
    // An operator may not rotate, nor an endpoint or the platform.
    let made: armour_api::CreatedSecret = world
        .operator
        .post(
            "/v1/api-tokens",
            &json!({ "name": "o", "role": "operator" }),
        )
        .await
        .unwrap();
    let url = format!("{base}/v1/audit/key-rotations");
    let body = json!({ "reason": "no" });
    for who in [
        As::Nobody,
        As::Bearer(&made.token),
        As::Bearer(PLATFORM),
        As::Endpoint(&world.consumer),
    ] {
        let (status, ..) = call(who, "POST", &url, Some(&body)).await;
        assert!([401, 403].contains(&status), "{status}");
    }
    let unchanged: LogHead = world.operator.get("/v1/audit/head").await.unwrap();
    assert_eq!(unchanged.log_key, own.log_key);
}

#[tokio::test]
async fn entries_written_beside_rotations_are_all_signed_by_the_key_of_their_place() {
    let database = database().await;
    let (one, two) = (replica(&database).await, replica(&database).await);
    let world = World::new(&one, Policy::default()).await;
    let other = Client::new(&two, world.operator_token()).unwrap();
    let entries = (0..40).map(|n| {
        let client = if n % 2 == 0 { &world.operator } else { &other };
        let name = format!("party {n}");
        async move {
            if n % 10 == 3 {
                client.rotate_log_key(&name).await.map(drop)
            } else {
                client.create_party(Role::Consumer, &name).await.map(drop)
            }
        }
    });
    for done in futures::future::join_all(entries).await {
        done.unwrap();
    }
    let lines = export(&world).await;
    verify(&lines, None).unwrap();
    let header: ExportHeader = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(header.rotations.len(), 4);
}

#[tokio::test]
async fn evidence_is_verified_by_an_earlier_key_of_the_log() {
    let base = replica(&database().await).await;
    let world = World::new(&base, Policy::default()).await;
    let first: LogHead = world.operator.get("/v1/audit/head").await.unwrap();
    let backup = world.consumer.copied();
    world.consumer.start(&base).await;
    let restored = backup.begin(None);
    let refused = backup.announce(&base, restored.start(), "b").await;
    assert!(refused.is_err());
    rotate(&world).await;
    let page: Page<armour_api::Collision> = world.operator.get("/v1/collisions").await.unwrap();
    let path = format!("/v1/collisions/{}/evidence", page.items[0].id);
    let evidence: armour_api::Evidence = world.operator.get(&path).await.unwrap();
    for key in [&first.log_key, &evidence.log_key] {
        let key = public_key(key).unwrap();
        assert!(armour_transparency::evidence::check(&evidence, Some(&key)).is_ok());
    }
    let stranger = world.consumer.key.verifying_key();
    assert!(armour_transparency::evidence::check(&evidence, Some(&stranger)).is_err());
}

#[tokio::test]
async fn a_log_restored_and_rotated_is_followed_once_it_was_fenced() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let backup = copy(&database).await;
    grow(&world.operator, 9).await;
    let seen = world.consumer.client(&base).log_head(None).await.unwrap();
    let mut pin = Pin::first(&seen).unwrap();

    let base = replica(&backup).await;
    let operator = Client::new(&base, world.operator_token()).unwrap();
    let rotated = operator.rotate_log_key("restored").await.unwrap();
    assert!(rotated.size < seen.head.size);
    // The key was retired before a head of that size: whoever holds it may have made it.
    let consumer = world.consumer.client(&base);
    let refused = consumer.log_restart(&seen.head).await;
    assert!(refused.is_err_and(|error| error.is("invalid-request")));
    let fences = "/v1/audit?action=ledger.fence";
    let page: Page<AuditEntry> = operator.get(fences).await.unwrap();
    assert_eq!(page.items, []);
    // A fence of the operator's explains it, and the rotation is followed.
    let url = format!("{base}/v1/tenants/{}/fence", world.tenant);
    let body = json!({ "reason": "restored to last night" });
    let (status, ..) = call(As::Bearer(PLATFORM), "POST", &url, Some(&body)).await;
    assert_eq!(status, 201);
    let restart = consumer.log_restart(&seen.head).await.unwrap();
    assert_eq!(restart.rotations, std::slice::from_ref(&rotated));
    assert_eq!(pin.restart(&restart).unwrap(), seen.head);
    assert_eq!(pin.keys.present(), rotated.new_key);
    let grown = consumer.log_head(Some(pin.head.size)).await.unwrap();
    assert_eq!(
        Pin::at(pin.keys.clone(), grown.head).unwrap().keys,
        pin.keys
    );
}

#[tokio::test]
async fn a_log_restored_to_before_a_rotation_is_not_followed_back_to_the_retired_key() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let backup = copy(&database).await;
    grow(&world.operator, 9).await;
    let client = world.consumer.client(&base);
    let early = client.log_head(None).await.unwrap();
    let rotated = rotate(&world).await;
    let seen = client.log_head(None).await.unwrap();
    let pinned = Pin::first(&seen).unwrap();

    // A restored backup has the retired key, as a thief of the backup has.
    let base = replica(&backup).await;
    let client = world.consumer.client(&base);
    let operator = Client::new(&base, world.operator_token()).unwrap();
    let refused = client.log_restart(&seen.head).await;
    assert!(refused.is_err_and(|error| error.is("invalid-request")));
    // How the log went on for those who had not seen the rotation.
    let restart = client.log_restart(&early.head).await.unwrap();
    let mut unaware = Pin::first(&early).unwrap();
    unaware.restart(&restart).unwrap();
    let mut pin = pinned.clone();
    assert!(pin.restart(&restart).is_err());
    grow(&operator, 20).await;
    let restart = client.log_restart(&early.head).await.unwrap();
    assert!(restart.head.size > rotated.size);
    assert!(pin.restart(&restart).is_err());
    assert_eq!(pin, pinned);
    // It is rotated once more: the same key was followed by two, which both prove.
    let other = operator.rotate_log_key("once more").await.unwrap();
    let shown = client.log_head(None).await.unwrap().rotations;
    let two = pinned.keys.contradiction(&shown).unwrap();
    assert_eq!((two.known, two.other), (rotated, other));
    assert!(
        pin.restart(&client.log_restart(&early.head).await.unwrap())
            .is_err()
    );
}
