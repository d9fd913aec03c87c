//! What answers and audit entries say besides: nobody is to keep an answer, where a call came
//! from, who guessed at the platform's token.

use armour_api::{AuditEntry, LaneHead, Page, Policy, Quotas};
use armour_control_plane::app::router;
use armour_listener::Limits;
use serde_json::json;

use crate::common::{As, PLATFORM, World, app_with, call, database, replica, replica_with};

async fn audit(base: &str, token: &str, path: &str) -> Vec<AuditEntry> {
    let url = format!("{base}{path}");
    let (status, _, text) = call(As::Bearer(token), "GET", &url, None).await;
    assert_eq!(status, 200, "{text}");
    let page: Page<AuditEntry> = serde_json::from_str(&text).unwrap();
    page.items
}

#[tokio::test]
async fn low_nobody_keeps_what_only_its_caller_may_see() {
    let base = replica(&database().await).await;
    let world = World::new(&base, Policy::default()).await;
    let token = world.operator_token();
    let enrol = json!({ "role": "consumer", "party_id": world.pair.consumer_id });
    for (who, method, path, body) in [
        (
            As::Bearer(PLATFORM),
            "POST",
            "/v1/tenants",
            Some(json!({ "name": "more" })),
        ),
        (
            As::Bearer(&token),
            "POST",
            "/v1/enrolment-tokens",
            Some(enrol),
        ),
        (As::Bearer(&token), "GET", "/v1/pairs", None),
        (As::Nobody, "GET", "/v1/pairs", None),
        (As::Endpoint(&world.consumer), "GET", "/v1/endpoint", None),
    ] {
        let (_, headers, _) = call(who, method, &format!("{base}{path}"), body.as_ref()).await;
        assert_eq!(headers["cache-control"], "no-store", "{path}");
        assert!(!headers.contains_key("strict-transport-security"));
    }
    let (_, headers, _) = call(As::Nobody, "GET", &format!("{base}/v1/keys"), None).await;
    assert!(
        headers["cache-control"]
            .to_str()
            .unwrap()
            .contains("max-age")
    );
}

#[tokio::test]
async fn low_browsers_are_told_to_come_by_tls_where_we_speak_it() {
    let files = ["--tls-cert-file", "cert.pem", "--tls-key-file", "key.pem"];
    let base = replica_with(&database().await, &files).await;
    for path in ["/v1/health", "/v1/pairs", "/nothing"] {
        let (_, headers, _) = call(As::Nobody, "GET", &format!("{base}{path}"), None).await;
        assert_eq!(
            headers["strict-transport-security"], "max-age=31536000",
            "{path}"
        );
    }
}

#[tokio::test]
async fn low_an_entry_says_where_its_call_came_from() {
    let trusted = ["--trusted-proxies", "127.0.0.0/8"];
    let app = app_with(&database().await, &trusted).await.unwrap();
    // By the listener that tells who is connected.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (limits, stop) = (Limits::default(), app.stopping.clone());
    tokio::spawn(armour_listener::serve(listener, router(app), limits, stop));
    let world = World::new(&base, Policy::default()).await;
    let token = world.operator_token();
    let client = reqwest::Client::new();
    let made = async |id: &str, name: &str| {
        let request = client
            .post(format!("{base}/v1/consumers"))
            .bearer_auth(&token);
        let request = request
            .header("x-forwarded-for", "192.0.2.7")
            .header("x-request-id", id)
            .json(&json!({ "name": name }));
        assert_eq!(request.send().await.unwrap().status(), 201);
        let noted = audit(&base, &token, "/v1/audit?action=consumer.create").await;
        noted[0].detail["request"].clone()
    };
    let told = made("call-1", "one").await;
    assert_eq!(told, json!({ "address": "192.0.2.7", "id": "call-1" }));
    // The caller's own words are not kept without end.
    let told = made(&"x".repeat(101), "two").await;
    assert_eq!(told, json!({ "address": "192.0.2.7", "id": null }));
    // Also of what was denied.
    let url = format!("{base}/v1/tenants");
    assert_eq!(call(As::Bearer(&token), "GET", &url, None).await.0, 403);
    let denied = audit(&base, &token, "/v1/audit?action=access.deny").await;
    assert!(
        denied[0].detail["request"]["id"].is_string(),
        "{:?}",
        denied[0]
    );
}

#[tokio::test]
async fn low_who_guesses_at_the_platforms_token_is_noted_and_fills_no_log() {
    let base = replica(&database().await).await;
    let url = format!("{base}/v1/tenants");
    for n in 0..50 {
        let guess = format!("a-guess-at-the-platforms-token-{n:06}");
        assert_eq!(call(As::Bearer(&guess), "GET", &url, None).await.0, 401);
    }
    let noted = audit(&base, PLATFORM, "/v1/platform/audit").await;
    let noted: Vec<_> = noted
        .iter()
        .filter(|one| one.action == "access.deny")
        .collect();
    assert!((1..=25).contains(&noted.len()), "{}", noted.len());
    assert_eq!(noted[0].actor, "anonymous");
    assert_eq!(noted[0].target, "GET /v1/tenants");
}

/// An agent tries on by itself: 501 entries came of one in seven minutes.
#[tokio::test]
async fn a_revoked_endpoint_that_tries_on_is_noted_once_a_minute() {
    let base = replica(&database().await).await;
    let world = World::new(&base, Policy::default()).await;
    let token = world.consumer.access_token(&base).await;
    let revoke = format!("{base}/v1/endpoints/{}/revoke", world.consumer.id);
    let (why, operator) = (json!({ "reason": "test" }), world.operator_token());
    let revoked = call(As::Bearer(&operator), "POST", &revoke, Some(&why)).await;
    assert_eq!(revoked.0, 200, "{}", revoked.2);
    let url = format!("{base}/v1/endpoint");
    for _ in 0..30 {
        let proof = world.consumer.proof("GET", &url, Some(&token));
        let asked = reqwest::Client::new().get(&url).header("dpop", proof);
        let asked = asked.header("authorization", format!("DPoP {token}"));
        assert_eq!(asked.send().await.unwrap().status(), 403);
    }
    let noted = audit(&base, &operator, "/v1/audit?action=access.deny").await;
    // The minute may end meanwhile.
    assert!((1..=3).contains(&noted.len()), "{}", noted.len());
}

#[tokio::test]
async fn low_a_tenant_sees_in_its_own_log_that_its_quotas_changed() {
    let base = replica(&database().await).await;
    let world = World::new(&base, Policy::default()).await;
    let url = format!("{base}/v1/tenants/{}/quotas", world.tenant);
    let quotas = Quotas {
        pairs: 7,
        ..Quotas::default()
    };
    let body = json!(quotas);
    assert_eq!(
        call(As::Bearer(PLATFORM), "PUT", &url, Some(&body)).await.0,
        200
    );
    let noted = audit(
        &base,
        &world.operator_token(),
        "/v1/audit?action=tenant.quotas",
    )
    .await;
    assert_eq!(noted.len(), 1);
    assert_eq!(noted[0].actor, "platform");
    assert_eq!(noted[0].detail["after"]["pairs"], 7);
    let noted = audit(&base, PLATFORM, "/v1/platform/audit").await;
    assert_eq!(noted[0].action, "tenant.quotas");
}

#[tokio::test]
async fn m3_a_bundles_lanes_come_in_pages() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let bundle = world.bundle().await;
    let reports = (0..3).map(|lane| bundle.report(&bundle.plain(lane, 1)));
    let consumer = world.consumer.client(&base);
    consumer.report(reports.collect()).await.unwrap();
    let path = format!("/v1/bundles/{}/lanes", bundle.id);
    let page: Page<LaneHead> = world.operator.get(&path).await.unwrap();
    let heads: Vec<u32> = page.items.iter().map(|head| head.lane).collect();
    assert_eq!((heads, page.next), (vec![0, 1, 2], None));
    let page: Page<LaneHead> = world
        .operator
        .get(&format!("{path}?cursor=0"))
        .await
        .unwrap();
    let heads: Vec<u32> = page.items.iter().map(|head| head.lane).collect();
    assert_eq!(heads, [1, 2]);
}
