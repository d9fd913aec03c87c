//! The audit log proves itself: entries, trees, exports, tampering, retention.

use armour_ambient::Ambient;
use armour_api::{AuditEntry, ConsistencyProof, InclusionProof, LogHead, Page, Policy, Role};
use armour_storage::{Keyring, Store};
use armour_transparency::{
    Hash, entry,
    export::{ExportError, Verified, Verifier},
    head::{TreeHead, public_key},
    merkle::{check_consistency, check_inclusion},
    pin::{Claimed, Pin},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::NaiveDate;
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use crate::common::{MASTER_KEYS, World, bound, connections, database, replica};

#[tokio::test]
async fn every_entry_and_every_growth_is_proven() {
    let base = replica(&database().await).await;
    let world = busy(&base, 30).await;
    let entries = all(&world).await;
    let latest: LogHead = world.operator.get("/v1/audit/head").await.unwrap();
    let key = public_key(&latest.log_key).unwrap();
    let head = TreeHead::check(&latest.head, &key).unwrap();
    assert_eq!(head.size as usize, entries.len());
    for of in &entries {
        for size in [of.seq as u64, head.size] {
            let path = format!("/v1/audit/{}/proof?size={size}", of.seq);
            let proof: InclusionProof = world.operator.get(&path).await.unwrap();
            assert_eq!(proof.entry, *of);
            let leaf = entry::leaf(world.tenant, of).unwrap();
            let (steps, root) = (hashes(&proof.inclusion), hash(&proof.root));
            check_inclusion(leaf, of.seq as u64 - 1, size, &steps, &root).unwrap();
            // Another entry is not proven by it.
            let mut other = of.clone();
            other.actor.push('x');
            let leaf = entry::leaf(world.tenant, &other).unwrap();
            assert!(check_inclusion(leaf, of.seq as u64 - 1, size, &steps, &root).is_err());
        }
        let path = format!("/v1/audit/consistency?first={}", of.seq);
        let proof: ConsistencyProof = world.operator.get(&path).await.unwrap();
        let (old, new) = (hash(&proof.first_root), hash(&proof.root));
        assert_eq!(new, head.root);
        let steps = hashes(&proof.consistency);
        check_consistency((proof.first, &old), (proof.size, &new), &steps).unwrap();
    }
}

#[tokio::test]
async fn concurrent_changes_make_one_unbroken_log() {
    let database = database().await;
    let (one, two) = (replica(&database).await, replica(&database).await);
    let world = World::new(&one, Policy::default()).await;
    let other = armour_client::Client::new(&two, world.operator_token()).unwrap();
    let calls = (0..60).map(|n| {
        let client = if n % 2 == 0 { &world.operator } else { &other };
        let name = format!("party {n}");
        async move { client.create_party(Role::Consumer, &name).await }
    });
    for done in futures::future::join_all(calls).await {
        done.unwrap();
    }
    let lines = export(&world).await;
    let verified = verify(&lines, None).unwrap();
    assert_eq!(verified.entries, all(&world).await.len() as u64);
}

#[tokio::test]
async fn a_thousand_random_tamperings_are_all_detected_and_named() {
    let base = replica(&database().await).await;
    let world = busy(&base, 40).await;
    let lines = export(&world).await;
    let latest: LogHead = world.operator.get("/v1/audit/head").await.unwrap();
    let key = public_key(&latest.log_key).unwrap();
    verify(&lines, Some(&key)).unwrap();
    let seed = u64::from_be_bytes(Ambient::system().random.bytes());
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut found = std::collections::BTreeMap::new();
    for _ in 0..1000 {
        let (kind, forged, first) = tamper(&lines, &mut rng);
        let error = match verify(&forged, Some(&key)) {
            Err(error) => error,
            Ok(_) => panic!("{kind}: not detected, seed {seed}"),
        };
        if let Some(first) = first {
            let text = error.to_string();
            assert!(
                text.contains(&format!("entry {first} ")) || text.contains(&format!("; {first} ")),
                "{kind} of entry {first}: {text}"
            );
        }
        *found.entry(kind).or_insert(0) += 1;
    }
    println!("{:28}{:>9}{:>10}", "tampering", "tried", "detected");
    for (kind, count) in &found {
        println!("{kind:28}{count:>9}{count:>10}");
    }
    println!("{:28}{:>9}{:>10}", "all", 1000, found.values().sum::<i32>());
}

#[tokio::test]
async fn what_is_changed_in_the_database_shows_in_the_export() {
    let database = database().await;
    let base = replica(&database).await;
    let world = busy(&base, 20).await;
    verify(&export(&world).await, None).unwrap();
    sqlx::query("UPDATE audit_entries SET actor = 'token:somebody-else' WHERE seq = 9")
        .execute(&mut bound(&database, world.tenant).await)
        .await
        .unwrap();
    let error = verify(&export(&world).await, None).unwrap_err();
    assert!(
        matches!(error, ExportError::Altered { seq: 9, .. }),
        "{error}"
    );
    sqlx::query("DELETE FROM audit_entries WHERE seq = 7")
        .execute(&mut bound(&database, world.tenant).await)
        .await
        .unwrap();
    let error = verify(&export(&world).await, None).unwrap_err();
    assert!(
        matches!(error, ExportError::Missing { expected: 7, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn proofs_outlive_the_entries_that_retention_drops() {
    let database = database().await;
    let base = replica(&database).await;
    let world = busy(&base, 30).await;
    let mut connection = bound(&database, world.tenant).await;
    // Twelve entries of long ago, as far as partitions are concerned.
    for statement in [
        "SELECT armour_audit_partition('2025-01-15')",
        "UPDATE audit_entries SET created_at = '2025-01-20 00:00+00' WHERE seq <= 12",
    ] {
        sqlx::query(statement)
            .execute(&mut connection)
            .await
            .unwrap();
    }
    let mut keyring = Keyring::new();
    keyring.add(1, MASTER_KEYS[0]).unwrap();
    let store = Store::connect(
        &connections(&database, 3),
        std::sync::Arc::new(keyring),
        Ambient::system(),
    )
    .await
    .unwrap();
    let today = store.now().date_naive();
    let from = NaiveDate::from_ymd_opt(2025, 6, 1).unwrap();
    assert_eq!(
        store
            .keep_audit_partitions(today, Some(from))
            .await
            .unwrap(),
        1
    );
    let verified = verify(&export(&world).await, None).unwrap();
    assert_eq!(verified.first, 13);
    let gone: Result<InclusionProof, _> = world.operator.get("/v1/audit/5/proof").await;
    assert!(gone.is_err_and(|error| error.is("not-found")));
    let proof: InclusionProof = world.operator.get("/v1/audit/20/proof").await.unwrap();
    let leaf = entry::leaf(world.tenant, &proof.entry).unwrap();
    let (steps, root) = (hashes(&proof.inclusion), hash(&proof.root));
    check_inclusion(leaf, 19, proof.size, &steps, &root).unwrap();
    // Endpoints whose keys came into the log long ago are still vouched for.
    let client = world.consumer.client(&base);
    let first = client.log_head(None).await.unwrap();
    let mut pin = Pin::first(&first).unwrap();
    let pinned = Some(pin.head.size);
    let grant = world.consumer.draw(&base, world.pair.id, pinned).await;
    let claimed = Claimed {
        endpoint: grant.bundle.producer_endpoint_id,
        role: Role::Producer,
        signing_key: &grant.producer.signing_key,
    };
    pin.follow(grant.log.as_ref().unwrap(), &[claimed]).unwrap();
    // The service writes on, and trees still follow from those of before.
    world
        .operator
        .create_party(Role::Consumer, "later")
        .await
        .unwrap();
    let proof: ConsistencyProof = world
        .operator
        .get("/v1/audit/consistency?first=5")
        .await
        .unwrap();
    let (old, new) = (hash(&proof.first_root), hash(&proof.root));
    let steps = hashes(&proof.consistency);
    check_consistency((5, &old), (proof.size, &new), &steps).unwrap();
    // And of a tenant that was idle for so long that no entry is left.
    for statement in [
        "SELECT armour_audit_partition('2025-01-15')",
        "UPDATE audit_entries SET created_at = '2025-01-20 00:00+00'",
    ] {
        sqlx::query(statement)
            .execute(&mut connection)
            .await
            .unwrap();
    }
    assert_eq!(
        store
            .keep_audit_partitions(today, Some(from))
            .await
            .unwrap(),
        1
    );
    let head: LogHead = world.operator.get("/v1/audit/head").await.unwrap();
    TreeHead::check(&head.head, &public_key(&head.log_key).unwrap()).unwrap();
    let pinned = Some(pin.head.size);
    world.consumer.draw(&base, world.pair.id, pinned).await;
}

#[tokio::test]
async fn a_swapped_key_is_not_vouched_for() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let client = world.consumer.client(&base);
    let first = client.log_head(None).await.unwrap();
    let mut pin = Pin::first(&first).unwrap();
    let pinned = Some(pin.head.size);
    let grant = world.consumer.draw(&base, world.pair.id, pinned).await;
    let claimed = |grant: &armour_api::BundleGrant, key: &str| Claimed {
        endpoint: grant.bundle.producer_endpoint_id,
        role: Role::Producer,
        signing_key: Box::leak(key.to_owned().into_boxed_str()),
    };
    let log = grant.log.as_ref().unwrap();
    pin.follow(log, &[claimed(&grant, &grant.producer.signing_key)])
        .unwrap();
    assert_eq!(pin.head, log.head);
    // The control plane says another key is the producer's.
    sqlx::query("UPDATE endpoints SET signing_key = $1 WHERE role = 'producer'")
        .bind(&world.consumer.key.verifying_key().as_bytes()[..])
        .execute(&mut bound(&database, world.tenant).await)
        .await
        .unwrap();
    let pinned = Some(pin.head.size);
    let grant = world.consumer.draw(&base, world.pair.id, pinned).await;
    let log = grant.log.as_ref().unwrap();
    let why = pin
        .follow(log, &[claimed(&grant, &grant.producer.signing_key)])
        .unwrap_err();
    assert!(why.contains("holds another key"), "{why}");
    // And makes the entry agree: then it is not the one that the tree holds.
    sqlx::query(
        "UPDATE endpoints
         SET enrol_entry = jsonb_set(enrol_entry, '{detail,signing_key}', to_jsonb($1::text))
         WHERE role = 'producer'",
    )
    .bind(&grant.producer.signing_key)
    .execute(&mut bound(&database, world.tenant).await)
    .await
    .unwrap();
    let pinned = Some(pin.head.size);
    let grant = world.consumer.draw(&base, world.pair.id, pinned).await;
    let log = grant.log.as_ref().unwrap();
    let why = pin
        .follow(log, &[claimed(&grant, &grant.producer.signing_key)])
        .unwrap_err();
    assert!(why.contains("is not in the log"), "{why}");
}

/// A tenant with at least so many entries of several kinds.
async fn busy(base: &str, entries: usize) -> World {
    let world = World::new(base, Policy::default()).await;
    for n in 0..entries {
        let name = format!("party {n} \u{e9}\u{1f980} \"quoted\"");
        world
            .operator
            .create_party(Role::Producer, &name)
            .await
            .unwrap();
    }
    world
}

async fn all(world: &World) -> Vec<AuditEntry> {
    let mut entries = Vec::new();
    let mut path = "/v1/audit".to_owned();
    loop {
        let page: Page<AuditEntry> = world.operator.get(&path).await.unwrap();
        entries.extend(page.items);
        match page.next {
            Some(cursor) => path = format!("/v1/audit?cursor={cursor}"),
            None => break,
        }
    }
    entries.reverse();
    entries
}

async fn export(world: &World) -> Vec<String> {
    let answer = world.operator.stream("/v1/audit/export").await.unwrap();
    let text = answer.text().await.unwrap();
    text.lines().map(str::to_owned).collect()
}

fn verify(
    lines: &[String],
    key: Option<&ed25519_dalek::VerifyingKey>,
) -> Result<Verified, ExportError> {
    let mut verifier = Verifier::begin(lines.first().map_or("", String::as_str), key)?;
    for line in &lines[1..] {
        verifier.line(line)?;
    }
    verifier.finish()
}

/// One random tampering: its kind, what came of it, and the first entry that it
/// concerns, where it is one.
fn tamper(lines: &[String], rng: &mut StdRng) -> (&'static str, Vec<String>, Option<usize>) {
    let mut forged = lines.to_vec();
    let entries = lines.len() - 2;
    // Line n holds entry n.
    let at = rng.random_range(1..=entries);
    match rng.random_range(0..9) {
        0 => {
            let mut entry: Value = serde_json::from_str(&forged[at]).unwrap();
            let field = ["actor", "action", "target"][rng.random_range(0..3)];
            entry[field] = json!(format!("{}x", entry[field].as_str().unwrap()));
            forged[at] = entry.to_string();
            ("a field changed", forged, Some(at))
        }
        1 => {
            let mut entry: Value = serde_json::from_str(&forged[at]).unwrap();
            entry["detail"]["more"] = json!(rng.random::<u32>());
            forged[at] = entry.to_string();
            ("a detail added", forged, Some(at))
        }
        2 => {
            let mut entry: Value = serde_json::from_str(&forged[at]).unwrap();
            entry["created_at"] = json!("2020-01-01T00:00:00Z");
            forged[at] = entry.to_string();
            ("a time changed", forged, Some(at))
        }
        3 => {
            forged.remove(at);
            ("an entry removed", forged, Some(at))
        }
        4 => {
            let other = at % entries + 1;
            forged.swap(at, other);
            ("two entries exchanged", forged, Some(at.min(other)))
        }
        5 => {
            let copy = forged[at].clone();
            forged.insert(at + 1, copy);
            ("an entry repeated", forged, Some(at))
        }
        6 => {
            // Renumbered, so that nothing seems to be missing.
            forged.remove(at);
            for line in &mut forged[at..entries] {
                let mut entry: Value = serde_json::from_str(line).unwrap();
                entry["seq"] = json!(entry["seq"].as_i64().unwrap() - 1);
                *line = entry.to_string();
            }
            let first = (at < entries).then_some(at);
            ("removed and renumbered", forged, first)
        }
        7 => {
            let mut bytes = [0u8; 64];
            rng.fill_bytes(&mut bytes);
            let mut entry: Value = serde_json::from_str(&forged[at]).unwrap();
            entry["signature"] = json!(STANDARD.encode(bytes));
            forged[at] = entry.to_string();
            ("a signature replaced", forged, Some(at))
        }
        _ => {
            forged.truncate(at);
            ("cut short", forged, Some(at))
        }
    }
}

fn hash(text: &str) -> Hash {
    STANDARD.decode(text).unwrap().try_into().unwrap()
}

fn hashes(texts: &[String]) -> Vec<Hash> {
    texts.iter().map(|text| hash(text)).collect()
}
