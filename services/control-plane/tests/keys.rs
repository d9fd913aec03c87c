//! Secrets at rest: rotation under traffic, retired and wrong keys, shredding, and
//! a dump of the database that holds none of them.

use armour_ambient::Ambient;
use armour_api::{KeyRotation, KeyVersion, Policy, Role};
use armour_client::Client;
use armour_protocol::v2::envelope;
use armour_storage::{Keyring, PLATFORM as PLATFORM_TENANT, StorageError, Store};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

use crate::common::{
    As, MASTER_KEYS, PLATFORM, World, app_with, bound, call, connections, context, database,
    replica, replica_with, serve,
};

fn both_keys() -> String {
    format!("1:{},2:{}", MASTER_KEYS[0], MASTER_KEYS[1])
}

async fn store(database: &str, versions: &[i32]) -> Store {
    let mut keyring = Keyring::new();
    for version in versions {
        let key = MASTER_KEYS[usize::try_from(version - 1).unwrap()];
        keyring.add(*version, key).unwrap();
    }
    let keyring = std::sync::Arc::new(keyring);
    let to = connections(database, 8);
    Store::connect(&to, keyring, Ambient::system())
        .await
        .unwrap()
}

/// How many secrets are rotated; `make rotation` asks for 100,000.
fn many() -> usize {
    let given = std::env::var("ARMOUR_ROTATED_SECRETS").ok();
    given.map_or(3000, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_under_traffic_loses_no_secret_though_a_replica_dies() {
    let database = database().await;
    replica(&database).await;
    // Both replicas know both keys before the first one is asked to rotate.
    let keys = both_keys();
    let base = replica_with(&database, &["--master-keys", &keys]).await;
    let dying = app_with(&database, &["--master-keys", &keys])
        .await
        .unwrap();
    let mut its_workers = dying.start_jobs();
    let worlds = [
        World::new(&base, Policy::default()).await,
        World::new(&base, Policy::default()).await,
    ];
    let (many, store_of_both) = (many(), store(&database, &[1, 2]).await);
    fill(&store_of_both, &worlds, many).await;

    let platform = Client::new(&base, PLATFORM).unwrap();
    let began = tokio::time::Instant::now();
    let rotation: KeyRotation = platform
        .post("/v1/platform/rotations", &json!({ "to_version": 2 }))
        .await
        .unwrap();
    assert!(rotation.total as usize >= many);
    let again: Result<KeyRotation, _> = platform
        .post("/v1/platform/rotations", &json!({ "to_version": 1 }))
        .await;
    assert!(again.is_err_and(|error| error.is("rotation-running")));
    let (mut calls, mut killed) = (0, false);
    let path = format!("/v1/platform/rotations/{}", rotation.id);
    loop {
        // Traffic that seals and opens: mints, grants, acknowledgements, answers
        // kept for repeats.
        for world in &worlds {
            let client = world.consumer.client(&base);
            let grant = world.consumer.draw(&base, world.pair.id, None).await;
            let again = client.bundle_grant(grant.bundle.id, None).await.unwrap();
            assert_eq!(grant.sealed_secret, again.sealed_secret);
            let producer = world.producer.client(&base);
            let other = producer.bundle_grant(grant.bundle.id, None).await.unwrap();
            assert!(other.sealed_secret.is_some());
            world.consumer.acknowledge(&base, &grant).await;
            calls += 4;
        }
        let now: KeyRotation = platform.get(&path).await.unwrap();
        if !killed && now.done > 0 {
            its_workers.abort_all();
            while its_workers.join_next().await.is_some() {}
            killed = true;
        }
        if now.finished_at.is_some() {
            break;
        }
    }
    let took = began.elapsed();
    check(&store_of_both, &worlds, many).await;
    let platform_call = |path: String| {
        let base = base.clone();
        async move {
            call(As::Bearer(PLATFORM), "POST", &format!("{base}{path}"), None)
                .await
                .0
        }
    };
    assert_eq!(
        platform_call("/v1/platform/master-keys/2/retire".into()).await,
        409
    );
    assert_eq!(
        platform_call("/v1/platform/master-keys/1/retire".into()).await,
        204
    );
    let versions: Vec<KeyVersion> = platform.get("/v1/platform/master-keys").await.unwrap();
    assert_eq!(
        versions
            .iter()
            .map(|v| (v.version, v.state.into_str()))
            .collect::<Vec<_>>(),
        [(2, "active"), (1, "retired")]
    );
    // A replica that has the new key alone opens every one of them.
    check(&store(&database, &[2]).await, &worlds, many).await;
    println!(
        "{many} secrets sealed anew in {:.1} s under {calls} calls, one replica's workers \
         killed meanwhile: 0 lost, 0 calls failed",
        took.as_secs_f64()
    );
}

#[tokio::test]
async fn keys_that_are_wrong_missing_or_retired_are_refused() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let said = |result: anyhow::Result<_>| match result {
        Ok(_) => panic!("it starts"),
        Err(error) => format!("{error:#}"),
    };
    let other = format!("1:{}", MASTER_KEYS[1]);
    let text = said(
        app_with(&database, &["--master-keys", &other])
            .await
            .map(drop),
    );
    assert!(
        text.contains("is not the one this database knows"),
        "{text}"
    );
    let other = format!("2:{}", MASTER_KEYS[1]);
    let text = said(
        app_with(&database, &["--master-keys", &other])
            .await
            .map(drop),
    );
    assert!(
        text.contains("version 1 is active, but not loaded"),
        "{text}"
    );
    for bad in ["1:5a5a", "1", "x:y", "0:00"] {
        said(app_with(&database, &["--master-keys", bad]).await.map(drop));
    }
    // A secret that is left under a retired key, as in a restored backup.
    let store = store(&database, &[1, 2]).await;
    let mut tx = store.tenant(world.tenant).await.unwrap();
    tx.secrets().put("left", b"behind").await.unwrap();
    tx.commit().await.unwrap();
    sqlx::query("UPDATE key_versions SET state = 'retired', retired_at = now()")
        .execute(&mut bound(&database, world.tenant).await)
        .await
        .unwrap();
    let mut tx = store.tenant(world.tenant).await.unwrap();
    assert!(matches!(
        tx.secrets().get("left").await,
        Err(StorageError::Retired(1))
    ));
}

#[tokio::test]
async fn a_deleted_tenant_is_shredded() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let client = world.consumer.client(&base);
    world.consumer.draw(&base, world.pair.id, None).await;
    // A backup of what was sealed, taken before.
    let mut connection = bound(&database, world.tenant).await;
    let backup: Vec<(String, i32, Vec<u8>)> =
        sqlx::query_as("SELECT name, key_version, sealed FROM secrets")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    assert!(backup.len() >= 3);
    let url = format!("{base}/v1/tenants/{}", world.tenant);
    assert_eq!(
        call(As::Bearer(PLATFORM), "DELETE", &url, None).await.0,
        204
    );
    assert_eq!(
        call(As::Bearer(PLATFORM), "DELETE", &url, None).await.0,
        404
    );
    // Nobody of the tenant gets in any more.
    let token = world.operator_token();
    let pairs = format!("{base}/v1/pairs");
    assert_eq!(call(As::Bearer(&token), "GET", &pairs, None).await.0, 401);
    assert!(
        client
            .endpoint()
            .await
            .is_err_and(|error| error.is("endpoint-revoked"))
    );
    // The backup's secrets do not open again, though the master key is there.
    for (name, version, sealed) in &backup {
        sqlx::query("INSERT INTO secrets SELECT armour_tenant(), $1, $2, $3")
            .bind(name)
            .bind(version)
            .bind(sealed)
            .execute(&mut connection)
            .await
            .unwrap();
    }
    let store = store(&database, &[1]).await;
    for (name, ..) in &backup {
        let mut tx = store.tenant(world.tenant).await.unwrap();
        assert!(matches!(
            tx.secrets().get(name).await,
            Err(StorageError::Shredded)
        ));
    }
    // The platform's log tells of it.
    let platform = Client::new(&base, PLATFORM).unwrap();
    let log: Value = platform.get("/v1/platform/audit").await.unwrap();
    assert_eq!(log["items"][0]["action"], "tenant.delete");
    // Its name may be given again.
    platform.create_tenant("another").await.unwrap();
}

#[tokio::test]
async fn signing_keys_overlap_and_retire() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let platform = Client::new(&base, PLATFORM).unwrap();
    let client = world.consumer.client(&base);
    client.endpoint().await.unwrap();
    let keys: Vec<Value> = platform
        .post("/v1/platform/signing-keys", &json!({}))
        .await
        .unwrap();
    assert_eq!(keys.len(), 2);
    // Another replica, which has to learn of both, still takes the earlier token.
    let second = replica(&database).await;
    let jwks: Value = Client::new(&second, "")
        .unwrap()
        .get("/v1/keys")
        .await
        .unwrap();
    let published: Vec<&str> = jwks["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["kid"].as_str().unwrap())
        .collect();
    assert!(
        keys.iter()
            .all(|key| published.contains(&key["kid"].as_str().unwrap()))
    );
    client.endpoint().await.unwrap();
    // The new one signs from its time on; the earlier one is refused once retired.
    let mut connection = bound(&database, PLATFORM_TENANT).await;
    for statement in [
        "UPDATE signing_keys SET activates_at = now() - interval '1 hour' WHERE retires_at IS NULL",
        "UPDATE signing_keys SET retires_at = now() - interval '1 second'
         WHERE retires_at IS NOT NULL",
    ] {
        sqlx::query(statement)
            .execute(&mut connection)
            .await
            .unwrap();
    }
    let old = world.consumer.access_token(&base).await;
    let third = serve(app_with(&database, &[]).await.unwrap()).await;
    let url = format!("{third}/v1/endpoint");
    let proof = world.consumer.proof("GET", &url, Some(&old));
    let answer = reqwest::Client::new()
        .get(&url)
        .header("authorization", format!("DPoP {old}"))
        .header("dpop", proof)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 401, "a token of a retired key");
    world.consumer.client(&third).endpoint().await.unwrap();
}

#[tokio::test]
async fn a_dump_of_the_database_holds_no_live_secret() {
    let database = database().await;
    let inside = ["--egress-allow-issuers", "--egress-allow-webhooks"];
    let inside = inside.map(|option| [option, "127.0.0.0/8"]);
    let base = replica_with(&database, inside.as_flattened()).await;
    let world = World::new(&base, Policy::default()).await;
    let operator = &world.operator;
    let mut secrets: Vec<(&str, Vec<u8>)> = vec![
        ("master key", hex::decode(MASTER_KEYS[0]).unwrap()),
        ("platform's token", PLATFORM.into()),
        ("API token", last_part(&world.operator_token())),
        (
            "endpoint's signing key",
            world.consumer.key.to_bytes().into(),
        ),
        ("endpoint's KEM key", world.consumer.kem_secret.into()),
    ];
    let enrolment = operator
        .create_enrolment_token(Role::Consumer, world.pair.consumer_id)
        .await
        .unwrap();
    secrets.push(("enrolment token", last_part(&enrolment.token)));
    let client_secret = "client-secret-8e2b5a37c1";
    let issuer = json!({ "kind": "people", "name": "staff", "url": "http://127.0.0.1:9",
        "audience": "armour", "client_secret": client_secret, "role_map": { "a": "auditor" } });
    operator
        .post::<Value>("/v1/issuers", &issuer)
        .await
        .unwrap();
    secrets.push(("issuer's client secret", client_secret.into()));
    let hook = json!({ "url": "http://127.0.0.1:9/", "kinds": ["*"] });
    let hook: Value = operator.post("/v1/webhooks", &hook).await.unwrap();
    let signing = hook["secret"]
        .as_str()
        .unwrap()
        .strip_prefix("whsec_")
        .unwrap();
    secrets.push(("webhook's secret", STANDARD.decode(signing).unwrap()));
    // A token that is kept for a repeat of the call that made it.
    let (_, _, text) = idempotent(&base, &world.operator_token()).await;
    let made: Value = serde_json::from_str(&text).unwrap();
    secrets.push((
        "token kept for a repeat",
        last_part(made["token"].as_str().unwrap()),
    ));
    let grant = world.consumer.draw(&base, world.pair.id, None).await;
    let sealed = STANDARD
        .decode(grant.sealed_secret.clone().unwrap())
        .unwrap();
    // It opens: what is searched for is the live secret's envelope.
    let hpke_secret = world.consumer.hpke_secret();
    envelope::open(&hpke_secret, &context(&grant), &sealed).unwrap();
    secrets.push(("bundle's secret, sealed to its endpoint", sealed));
    secrets.push((
        "access token",
        world.consumer.access_token(&base).await.into(),
    ));
    let store = store(&database, &[1]).await;
    let mut tx = store.tenant(world.tenant).await.unwrap();
    secrets.push((
        "log's key",
        tx.secrets().get("log").await.unwrap().unwrap().to_vec(),
    ));
    drop(tx);
    let mut tx = store.platform().await.unwrap();
    let kid = tx.signing_keys().list().await.unwrap()[0].kid.clone();
    let seed = tx
        .secrets()
        .get(&format!("signing-key:{kid}"))
        .await
        .unwrap()
        .unwrap();
    secrets.push(("key of access tokens", seed.to_vec()));
    drop(tx);

    let dump = dump(&database);
    assert!(dump.len() > 20_000);
    // What is public is found, so the search itself works.
    let public = world.consumer.key.verifying_key().to_bytes();
    assert!(holds(&dump, &public));
    println!("{:44}{:>12}", "live secret", "in the dump");
    for (name, secret) in &secrets {
        assert!(secret.len() >= 20);
        let found = holds(&dump, secret);
        println!("{name:44}{:>12}", if found { "FOUND" } else { "no" });
        assert!(!found, "{name}");
    }
}

/// Secrets of known content in both tenants.
async fn fill(store: &Store, worlds: &[World], many: usize) {
    let tasks = (0..8usize).map(|task| {
        let (store, tenant) = (store.clone(), worlds[task % worlds.len()].tenant);
        tokio::spawn(async move {
            for chunk in (task..many).step_by(8).collect::<Vec<_>>().chunks(200) {
                let mut tx = store.tenant(tenant).await.unwrap();
                for n in chunk {
                    tx.secrets()
                        .put(&format!("bulk:{n}"), &content(*n))
                        .await
                        .unwrap();
                }
                tx.commit().await.unwrap();
            }
        })
    });
    for task in futures::future::join_all(tasks).await {
        task.unwrap();
    }
}

async fn check(store: &Store, worlds: &[World], many: usize) {
    for (at, world) in worlds.iter().enumerate() {
        let mut tx = store.tenant(world.tenant).await.unwrap();
        assert_eq!(tx.secrets().count_not_under(2).await.unwrap(), 0);
        for n in (0..many).filter(|n| (n % 8) % worlds.len() == at) {
            let secret = tx.secrets().get(&format!("bulk:{n}")).await.unwrap();
            assert_eq!(&*secret.unwrap(), &content(n), "secret {n}");
        }
    }
}

fn content(n: usize) -> Vec<u8> {
    format!("the secret of number {n}").into_bytes()
}

/// A creating call whose answer is kept.
async fn idempotent(base: &str, token: &str) -> (u16, (), String) {
    let answer = reqwest::Client::new()
        .post(format!("{base}/v1/api-tokens"))
        .bearer_auth(token)
        .header("idempotency-key", Ambient::system().opaque_id().to_string())
        .json(&json!({ "name": "kept", "role": "auditor" }))
        .send()
        .await
        .unwrap();
    (answer.status().as_u16(), (), answer.text().await.unwrap())
}

/// The secret part of a token; the rest is its name.
fn last_part(token: &str) -> Vec<u8> {
    hex::decode(token.rsplit('_').next().unwrap()).unwrap()
}

fn dump(database: &str) -> Vec<u8> {
    // A superuser's, so that row-level security hides nothing of it.
    let url = database.replace("//armour@", "//postgres@");
    let output = std::process::Command::new("sh")
        .args([
            "-c",
            "exec $(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)/pg_dump \"$0\"",
        ])
        .arg(url)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// Whether the bytes are there, as they are or as any text that stands for them.
fn holds(dump: &[u8], secret: &[u8]) -> bool {
    let forms = [
        secret.to_vec(),
        hex::encode(secret).into_bytes(),
        hex::encode_upper(secret).into_bytes(),
        // Without the last characters, which depend on what follows.
        STANDARD
            .encode(secret)
            .trim_end_matches('=')
            .as_bytes()
            .to_vec(),
        URL_SAFE_NO_PAD.encode(secret).into_bytes(),
        hex::encode(STANDARD.encode(secret)).into_bytes(),
    ];
    forms
        .iter()
        .any(|form| dump.windows(form.len()).any(|window| window == form))
}
