//! Calls without an access token, which are signed: what nobody signed costs no endpoint
//! anything.

use armour_api::{AuditEntry, LinkAnswer, Page, Policy, Quotas};
use armour_protocol::v2::identity::{body::LinkBody, chain::InFlight, start::StartHash};
use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::SigningKey;
use futures::future::join_all;
use serde_json::{Value, json};
use sqlx::Connection;

use crate::common::{
    As, PATIENCE, PLATFORM, TestEndpoint, World, bound, call, database, replica, replica_with,
    until,
};

fn beat() -> LinkBody {
    LinkBody::Heartbeat(b"{\"bundles\":[]}".to_vec())
}

/// A link of this endpoint's start that nobody signed, and one that the start did.
fn forged(endpoint: &TestEndpoint) -> (Value, InFlight) {
    let link = endpoint.sign(beat());
    let mut bytes = link.link().to_bytes();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let body = json!({ "tenant_id": endpoint.tenant, "link": STANDARD.encode(bytes) });
    (body, link)
}

async fn post(base: &str, path: &str, body: &Value) -> (u16, String) {
    let (status, _, text) = call(As::Nobody, "POST", &format!("{base}{path}"), Some(body)).await;
    (status, text)
}

async fn fence(base: &str, world: &World) {
    let url = format!("{base}/v1/tenants/{}/fence", world.tenant);
    let body = json!({ "reason": "restored to last night" });
    let (status, _, text) = call(As::Bearer(PLATFORM), "POST", &url, Some(&body)).await;
    assert_eq!(status, 201, "{text}");
}

async fn denials(world: &World) -> Vec<AuditEntry> {
    let path = "/v1/audit?action=access.deny";
    let page: Page<AuditEntry> = world.operator.get(path).await.unwrap();
    page.items
}

#[tokio::test]
async fn behind_a_fence_a_link_that_nobody_signed_waits_for_no_endpoints_row() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    fence(&base, &world).await;
    let mut connection = bound(&database, world.tenant).await;
    let mut held = connection.begin().await.unwrap();
    sqlx::query("SELECT FROM endpoints WHERE endpoint_id = $1 FOR UPDATE")
        .bind(world.consumer.id)
        .execute(&mut *held)
        .await
        .unwrap();
    let (body, _) = forged(&world.consumer);
    let sent = post(&base, "/v1/endpoint/links", &body);
    let (status, text) = tokio::time::timeout(PATIENCE, sent)
        .await
        .expect("it waits for the row");
    assert_eq!(status, 200, "{text}");
    let answer: LinkAnswer = serde_json::from_str(&text).unwrap();
    assert!(answer.head.k == 0 && answer.outcome.is_none() && !answer.ended);
}

#[tokio::test]
async fn behind_a_fence_links_that_nobody_signed_spend_nothing_of_the_tenants_rate() {
    let base = replica(&database().await).await;
    let world = World::new(&base, Policy::default()).await;
    fence(&base, &world).await;
    let quotas = Quotas {
        endpoint_requests: 1,
        ..Quotas::default()
    };
    let url = format!("{base}/v1/tenants/{}/quotas", world.tenant);
    let body = json!(quotas);
    assert_eq!(
        call(As::Bearer(PLATFORM), "PUT", &url, Some(&body)).await.0,
        200
    );
    let (body, _) = forged(&world.consumer);
    for _ in 0..50 {
        assert_eq!(post(&base, "/v1/endpoint/links", &body).await.0, 200);
    }
}

#[tokio::test]
async fn behind_a_fence_a_start_that_has_ended_answers_nobody_who_did_not_sign() {
    let base = replica(&database().await).await;
    let world = World::new(&base, Policy::default()).await;
    fence(&base, &world).await;
    let (body, _) = forged(&world.consumer);
    world.consumer.start(&base).await;
    assert_eq!(post(&base, "/v1/endpoint/links", &body).await.0, 401);
}

#[tokio::test]
async fn what_nobody_signed_is_not_noted_as_its_victims_denial() {
    let base = replica(&database().await).await;
    let world = World::new(&base, Policy::default()).await;
    let mut forger = world.consumer.copied();
    forger.key = SigningKey::from_bytes(&[9; 32]);
    let start = forger.begin(None);
    let refused = forger.announce(&base, start.start(), "b").await;
    assert!(refused.is_err_and(|error| error.is("unauthenticated")));
    // Nor a proof with a key that is not its own.
    let url = format!("{base}/v1/endpoint/token");
    let answer = reqwest::Client::new()
        .post(&url)
        .header("dpop", world.producer.proof("POST", &url, None))
        .json(&json!({ "tenant_id": world.tenant, "endpoint_id": world.consumer.id }))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 401);
    let noted = denials(&world).await;
    assert!(noted.is_empty(), "{noted:?}");
}

/// Sends until one is refused for its rate: many at a time, so that they come faster than the
/// rate, however slow the machine is.
async fn flood(base: &str, path: &str, body: &Value) {
    until("a call too many", async || {
        let answers = join_all((0..50).map(|_| post(base, path, body))).await;
        answers
            .iter()
            .any(|(status, _)| *status == 429)
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn whoever_floods_from_behind_an_ingress_refuses_no_endpoint_that_was_heard_there() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    // All that come to it have the same source, as behind an ingress.
    let small = replica_with(&database, &["--rate-limit", "2"]).await;
    world.consumer.heartbeat(&small, vec![]).await;
    let (forged, link) = forged(&world.consumer);
    flood(&small, "/v1/endpoint/links", &forged).await;
    world.consumer.sent(&small, link).await;
}

/// A replica that had just started knew no endpoint: during a flood none of them was let in, and
/// so none was ever heard.
#[tokio::test]
async fn a_flood_refuses_no_endpoint_at_a_replica_that_has_just_started() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    // A key that was renewed since it started.
    world.consumer.renew(&base).await;
    let fresh = replica_with(&database, &["--rate-limit", "2"]).await;
    let (forged, _) = forged(&world.producer);
    let path = "/v1/endpoint/links";
    flood(&fresh, path, &forged).await;
    world.consumer.heartbeat(&fresh, vec![]).await;
    flood(&fresh, path, &forged).await;
    world.consumer.client(&fresh).endpoint().await.unwrap();
    // It starts anew, by its long-term key.
    flood(&fresh, path, &forged).await;
    world.producer.start(&fresh).await;
}

#[tokio::test]
async fn presences_are_limited_by_who_signed_them_and_by_source_if_nobody_did() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let small = replica_with(&database, &["--rate-limit", "2"]).await;
    let nobodys = json!({
        "tenant_id": world.tenant, "endpoint_id": world.consumer.id,
        "other": STANDARD.encode([1; 32]), "signature": STANDARD.encode([2; 64]),
    });
    flood(&small, "/v1/endpoint/presence", &nobodys).await;
    let other = replica_with(&database, &["--rate-limit", "2"]).await;
    until("a presence too many", async || {
        let many = (0..50).map(|_| world.consumer.answer_presence(&other, StartHash([1; 32])));
        let answers = join_all(many).await;
        let mut errors = answers.into_iter().filter_map(Result::err);
        errors.any(|error| error.is("rate-limited")).then_some(())
    })
    .await;
    // Another endpoint's are its own.
    let unasked = world
        .producer
        .answer_presence(&other, StartHash([1; 32]))
        .await;
    assert!(unasked.is_err_and(|error| error.is("not-found")));
}
