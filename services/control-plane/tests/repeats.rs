//! Calls that are repeated with their `Idempotency-Key`, whatever became of the first.

use std::time::Duration;

use armour_api::{CreatedTenant, Page, Policy, Quotas, Role};
use armour_client::Client;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::common::{As, PLATFORM, World, bound, call, database, hold, replica, until};

async fn post(url: &str, token: &str, key: &str, body: &Value) -> Response {
    let request = reqwest::Client::new().post(url).bearer_auth(token);
    let request = request.header("idempotency-key", key).json(body);
    request.send().await.unwrap()
}

#[tokio::test]
async fn m4_a_repeated_creation_of_a_tenant_answers_the_same() {
    let base = replica(&database().await).await;
    let url = format!("{base}/v1/tenants");
    let body = json!({ "name": "shop" });
    let first = post(&url, PLATFORM, "k", &body).await;
    assert_eq!(first.status(), 201);
    let first: CreatedTenant = first.json().await.unwrap();
    let again = post(&url, PLATFORM, "k", &body).await;
    assert_eq!(again.status(), 201);
    assert_eq!(again.headers()["idempotency-replayed"], "true");
    let again: CreatedTenant = again.json().await.unwrap();
    assert_eq!(again.token, first.token);
    let admin = Client::new(&base, again.token).unwrap();
    admin.get::<Value>("/v1/whoami").await.unwrap();
    assert_eq!(post(&url, PLATFORM, "other", &body).await.status(), 409);
    // Nobody else hears it.
    let stranger = format!("{}x", &PLATFORM[1..]);
    assert_eq!(post(&url, &stranger, "k", &body).await.status(), 401);
}

#[tokio::test]
async fn m4_what_was_changed_is_not_changed_again_though_its_answer_was_lost() {
    let database = database().await;
    let world = World::new(&replica(&database).await, Policy::default()).await;
    let mut sql = PgConnection::connect(&database).await.unwrap();
    for statement in [
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
         AS $$ BEGIN RAISE EXCEPTION 'no room'; END $$",
        "CREATE TRIGGER refuse BEFORE UPDATE ON idempotency_keys FOR EACH ROW
         WHEN (NEW.status IS NOT NULL) EXECUTE FUNCTION refuse()",
    ] {
        sqlx::query(statement).execute(&mut sql).await.unwrap();
    }
    let url = format!("{}/v1/enrolment-tokens", world.base);
    let token = world.operator_token();
    let body = json!({ "role": "consumer", "party_id": world.pair.consumer_id });
    let made = async || -> usize {
        let path = "/v1/enrolment-tokens";
        let page: Page<Value> = world.operator.get(path).await.unwrap();
        page.items.len()
    };
    let before = made().await;
    let first = post(&url, &token, "k", &body).await;
    assert_eq!(first.status(), 201, "whoever waits for the answer gets it");
    let drop = "DROP TRIGGER refuse ON idempotency_keys";
    sqlx::query(drop).execute(&mut sql).await.unwrap();
    // Later than a first call is waited for.
    let mut tenant = bound(&database, world.tenant).await;
    let later = "UPDATE idempotency_keys SET created_at = created_at - interval '10 minutes',
                 committed_at = committed_at - interval '10 minutes'";
    let aged = sqlx::query(later).execute(&mut tenant).await.unwrap();
    assert_eq!(aged.rows_affected(), 1);
    let again = post(&url, &token, "k", &body).await;
    assert_eq!(again.status(), 409);
    let text = again.text().await.unwrap();
    assert!(text.contains("idempotency-answer-lost"), "{text}");
    assert_eq!(made().await, before + 1);
}

#[tokio::test]
async fn m4_an_answer_that_is_yet_to_be_kept_is_not_told_as_lost() {
    const KEEPING: i64 = 4;
    let database = database().await;
    let world = World::new(&replica(&database).await, Policy::default()).await;
    let mut sql = PgConnection::connect(&database).await.unwrap();
    // Between the commit of the change and the keeping of its answer: a trigger of the
    // statement waits before any row is locked.
    for statement in [
        "CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           IF current_query() LIKE 'UPDATE idempotency_keys SET status%' THEN
             PERFORM pg_advisory_xact_lock(4);
           END IF;
           RETURN NULL;
         END $$",
        "CREATE TRIGGER linger BEFORE UPDATE ON idempotency_keys
         FOR EACH STATEMENT EXECUTE FUNCTION linger()",
    ] {
        sqlx::query(statement).execute(&mut sql).await.unwrap();
    }
    let held = "SELECT pg_advisory_lock($1)";
    sqlx::query(held)
        .bind(KEEPING)
        .execute(&mut sql)
        .await
        .unwrap();
    let url = format!("{}/v1/consumers", world.base);
    let (token, body) = (world.operator_token(), json!({ "name": "cart" }));
    let first = tokio::spawn({
        let (url, token, body) = (url.clone(), token.clone(), body.clone());
        async move { post(&url, &token, "k", &body).await.text().await.unwrap() }
    });
    let mut watcher = PgConnection::connect(&database).await.unwrap();
    let never = std::sync::atomic::AtomicBool::new(false);
    crate::common::wait_for(&mut watcher, 1, &never).await;
    let meanwhile = post(&url, &token, "k", &body).await;
    assert_eq!(meanwhile.status(), 409);
    let text = meanwhile.text().await.unwrap();
    assert!(text.contains("idempotency-key-pending"), "{text}");
    let free = "SELECT pg_advisory_unlock($1)";
    sqlx::query(free)
        .bind(KEEPING)
        .execute(&mut sql)
        .await
        .unwrap();
    let first = first.await.unwrap();
    let again = post(&url, &token, "k", &body).await;
    assert_eq!(again.headers()["idempotency-replayed"], "true");
    assert_eq!(again.text().await.unwrap(), first);
}

#[tokio::test]
async fn m4_a_caller_that_went_away_finds_its_answer_when_it_comes_again() {
    let database = database().await;
    let world = World::new(&replica(&database).await, Policy::default()).await;
    let url = format!("{}/v1/consumers", world.base);
    let (token, body) = (world.operator_token(), json!({ "name": "cart" }));
    let mut tenant = bound(&database, world.tenant).await;
    let mut held = tenant.begin().await.unwrap();
    hold(&mut held, "journals WHERE tenant_id", world.tenant).await;
    let call = tokio::spawn({
        let (url, token, body) = (url.clone(), token.clone(), body.clone());
        async move { post(&url, &token, "k", &body).await.status() }
    });
    let mut watcher = PgConnection::connect(&database).await.unwrap();
    let never = std::sync::atomic::AtomicBool::new(false);
    crate::common::wait_for(&mut watcher, 1, &never).await;
    call.abort();
    // The replica learns that nobody waits any more.
    tokio::time::sleep(Duration::from_millis(200)).await;
    held.rollback().await.unwrap();
    let answer = until("the first call's answer", async || {
        let answer = post(&url, &token, "k", &body).await;
        let pending = answer.status() == StatusCode::CONFLICT
            && answer.headers().get("idempotency-replayed").is_none();
        let text = answer.text().await.unwrap();
        (!(pending && text.contains("idempotency-key-pending"))).then_some(text)
    })
    .await;
    assert!(answer.contains("cart"), "{answer}");
    assert!(
        world
            .operator
            .create_party(Role::Consumer, "cart")
            .await
            .is_err()
    );
}

#[tokio::test]
async fn m4_repeats_count_against_the_tenants_rate() {
    let base = replica(&database().await).await;
    let world = World::new(&base, Policy::default()).await;
    let quotas = Quotas {
        requests: 5,
        ..Quotas::default()
    };
    let set = format!("{base}/v1/tenants/{}/quotas", world.tenant);
    let body = json!(quotas);
    let (status, ..) = call(As::Bearer(PLATFORM), "PUT", &set, Some(&body)).await;
    assert_eq!(status, 200);
    let (url, token) = (format!("{base}/v1/consumers"), world.operator_token());
    let body = json!({ "name": "cart" });
    // What the replica had leased before is used up first.
    until("a repeat that is refused", async || {
        let answer = post(&url, &token, "k", &body).await;
        match answer.status().as_u16() {
            201 => {
                let left = answer.headers().contains_key("ratelimit");
                assert!(left, "each tells what is left");
                None
            }
            429 => Some(()),
            other => panic!("{other}: {}", answer.text().await.unwrap()),
        }
    })
    .await;
}
