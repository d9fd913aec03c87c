//! The REST API's manners: documents, tenancy, tokens, repeats, bad input.

use armour_api::{AuditEntry, CreatedSecret, Enrol, Page, Pair, Party, Policy, Role};
use armour_client::Client;

use crate::common::{self, As, World, database, replica};

#[test]
fn openapi_document_is_the_committed_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../openapi/openapi.json");
    let now = armour_control_plane::app::openapi_document().unwrap();
    if std::env::var_os("ARMOUR_UPDATE_OPENAPI").is_some() {
        std::fs::write(path, &now).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap();
    assert!(
        committed == now,
        "the API changed: run `make openapi` and commit openapi/openapi.json"
    );
}

#[tokio::test]
async fn an_enrolment_token_works_once() {
    let base = replica(&database().await).await;
    let world = World::new(&base, Policy::default()).await;
    let token = world
        .operator
        .create_enrolment_token(Role::Consumer, world.pair.consumer_id)
        .await
        .unwrap();
    let client = Client::new(&base, token.token).unwrap();
    let enrol = Enrol {
        name: "again".into(),
        signing_key: base64(world.consumer.key.verifying_key().as_bytes()),
        kem_key: base64(&[9; 32]),
        address: None,
        version: "0".into(),
    };
    let tries = futures::future::join_all((0..8).map(|_| client.enrol(&enrol))).await;
    assert_eq!(tries.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(
        tries
            .iter()
            .filter_map(|r| r.as_ref().err())
            .all(|error| error.is("unauthenticated"))
    );
}

#[tokio::test]
async fn a_repeated_create_answers_the_same_once() {
    let base = replica(&database().await).await;
    let world = World::new(&base, Policy::default()).await;
    let http = reqwest::Client::new();
    let call = |name: &'static str, key: &'static str| {
        http.post(format!("{base}/v1/producers"))
            .bearer_auth(world.operator_token())
            .header("idempotency-key", key)
            .json(&serde_json::json!({ "name": name }))
            .send()
    };
    let first: Party = call("one", "k1").await.unwrap().json().await.unwrap();
    let again = call("one", "k1").await.unwrap();
    assert_eq!(again.headers()["idempotency-replayed"], "true");
    assert_eq!(again.status(), 201);
    assert_eq!(again.json::<Party>().await.unwrap(), first);
    assert_eq!(call("two", "k1").await.unwrap().status(), 422);
    assert_eq!(call("one", "k2").await.unwrap().status(), 409);
}

#[tokio::test]
async fn m4_a_revoked_or_expired_token_hears_no_stored_answer() {
    let base = replica(&database().await).await;
    let world = World::new(&base, Policy::default()).await;
    let http = reqwest::Client::new();
    let call = async |token: &str, key: Option<&str>| {
        let mut request = http
            .post(format!("{base}/v1/enrolment-tokens"))
            .bearer_auth(token)
            .json(&serde_json::json!({ "role": "consumer", "party_id": world.pair.consumer_id }));
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let mut body: serde_json::Value = answer.json().await.unwrap();
        if let Some(problem) = body.as_object_mut() {
            problem.remove("request_id");
        }
        (status, body)
    };
    let mint = async |name: &str| -> CreatedSecret {
        let new = serde_json::json!({ "name": name, "role": "operator" });
        world.operator.post("/v1/api-tokens", &new).await.unwrap()
    };
    let (revoked, expired) = (mint("to be revoked").await, mint("to expire").await);
    for (token, key) in [(&revoked, "k1"), (&expired, "k2")] {
        let first = call(&token.token, Some(key)).await;
        assert_eq!(first.0, 201);
        assert_eq!(call(&token.token, Some(key)).await, first);
    }
    let url = format!("{base}/v1/api-tokens/{}", revoked.id);
    let administrator = world.operator_token();
    let gone = common::call(As::Bearer(&administrator), "DELETE", &url, None).await;
    assert_eq!(gone.0, 204);
    let path = format!("/v1/api-tokens/{}/rotate", expired.id);
    let overlap = serde_json::json!({ "overlap_s": 0 });
    let _: CreatedSecret = world.operator.post(&path, &overlap).await.unwrap();
    for (token, key) in [(&revoked, "k1"), (&expired, "k2")] {
        let refused = call(&token.token, None).await;
        assert_eq!(refused.0, 401);
        assert_eq!(call(&token.token, Some(key)).await, refused);
        // Each of the two attempts is noted once.
        let path = format!("/v1/audit?action=access.deny&actor=token:{}", token.id);
        let denied: Page<AuditEntry> = world.operator.get(&path).await.unwrap();
        assert_eq!(denied.items.len(), 2);
    }
}

#[tokio::test]
async fn bad_input_gets_a_problem_document() {
    let base = replica(&database().await).await;
    let world = World::new(&base, Policy::default()).await;
    let http = reqwest::Client::new();
    let token = world.operator_token();
    let cases = [
        ("POST", "/v1/producers", "{", 400),
        ("POST", "/v1/producers", "{\"name\":\"\"}", 400),
        ("POST", "/v1/producers", "{\"name\":\"a\\u0000b\"}", 400),
        ("POST", "/v1/producers", "{\"name\":\"ok\",\"more\":1}", 422),
        (
            "POST",
            "/v1/pairs",
            "{\"consumer_id\":\"00000000-0000-0000-0000-000000000000\",\"producer_id\":\"00000000-0000-0000-0000-000000000000\"}",
            404,
        ),
        ("GET", "/v1/pairs/not-a-uuid", "", 404),
        ("GET", "/v1/pairs?cursor=x", "", 400),
        ("GET", "/v1/nothing", "", 404),
        ("PATCH", "/v1/pairs", "", 405),
    ];
    for (method, path, body, status) in cases {
        let answer = http
            .request(method.parse().unwrap(), format!("{base}{path}"))
            .bearer_auth(&token)
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), status, "{method} {path} {body}");
        assert_eq!(
            answer.headers()["content-type"],
            "application/problem+json",
            "{path}"
        );
        let problem: armour_api::Problem = answer.json().await.unwrap();
        assert!(problem.r#type.starts_with("urn:armour:problem:"));
        assert!(problem.request_id.is_some());
    }
    let answer = http.get(format!("{base}/v1/pairs")).send().await.unwrap();
    assert_eq!(answer.status(), 401);
}

#[tokio::test]
async fn events_resume_after_the_last_one_seen() {
    use futures::StreamExt;
    let base = replica(&database().await).await;
    let world = World::new(&base, Policy::default()).await;
    let events = world.operator.events("/v1/events", Some(0)).await.unwrap();
    let seen: Vec<_> = events.take(3).collect().await;
    assert_eq!(
        seen.iter().map(|event| event.seq).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    let mut live = world.operator.events("/v1/events", Some(2)).await.unwrap();
    assert_eq!(live.next().await.unwrap().seq, 3);
    world.consumer.draw(&base, world.pair.id, None).await;
    // The two starts come first, and what the producer's means for consumers.
    let mut kinds = Vec::new();
    while kinds.last().is_none_or(|kind| kind != "bundle.minted") {
        kinds.push(live.next().await.unwrap().kind);
    }
    let started = kinds.iter().filter(|kind| *kind == "endpoint.started");
    assert_eq!(started.count(), 2, "{kinds:?}");
    let changed = kinds.iter().any(|kind| kind == "assignments.changed");
    assert!(changed, "{kinds:?}");
    let pair: Pair = world
        .operator
        .get(&format!("/v1/pairs/{}", world.pair.id))
        .await
        .unwrap();
    assert_eq!(pair, world.pair);
}

fn base64(bytes: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.encode(bytes)
}

#[tokio::test]
async fn a_large_or_slow_body_is_refused_before_it_holds_a_connection() {
    let base = replica(&database().await).await;
    let world = World::new(&base, Policy::default()).await;
    let large = reqwest::Client::new()
        .post(format!("{base}/v1/consumers"))
        .bearer_auth(world.operator_token())
        .header("content-type", "application/json")
        .body(vec![b' '; 2 << 20])
        .send()
        .await
        .unwrap();
    assert_eq!(large.status(), 413);
    // More callers that say nothing than there are database connections.
    let address = base.strip_prefix("http://").unwrap();
    let mut silent = Vec::new();
    for _ in 0..40 {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST /v1/consumers HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: 20\r\n\
             expect: 100-continue\r\n\r\n",
            world.operator_token()
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        // Said once the body is being waited for.
        let mut told = [0; 12];
        socket.read_exact(&mut told).await.unwrap();
        assert_eq!(&told, b"HTTP/1.1 100");
        socket.write_all(b"{").await.unwrap();
        silent.push(socket);
    }
    world.operator.collisions().await.unwrap();
}
