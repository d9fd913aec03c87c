//! Credentials: API tokens that expire and rotate, access tokens that are worth
//! nothing without their key, sessions that only their page can use.

use armour_ambient::Ambient;
use armour_api::{ApiToken, AuditEntry, CreatedSecret, Page, Policy};
use armour_client::{Client, dpop};
use chrono::Duration;
use ed25519_dalek::SigningKey;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::common::{
    As, PATIENCE, World, app_in, bound, call, database, replica, serve, still, until,
};

async fn status(base: &str, token: &str, path: &str) -> u16 {
    call(As::Bearer(token), "GET", &format!("{base}{path}"), None)
        .await
        .0
}

#[tokio::test]
async fn api_tokens_expire_rotate_and_show_their_use() {
    let ambient = still();
    let app = app_in(&database().await, &[], ambient.clone()).await;
    let base = serve(app.unwrap()).await;
    let world = World::new(&base, Policy::default()).await;
    let made: CreatedSecret = world
        .operator
        .post(
            "/v1/api-tokens",
            &json!({ "name": "ci", "role": "auditor", "expires_in_s": 3600 }),
        )
        .await
        .unwrap();
    assert_eq!(status(&base, &made.token, "/v1/pairs").await, 200);
    let find = async |id: Uuid| {
        let page: Page<ApiToken> = world.operator.get("/v1/api-tokens").await.unwrap();
        page.items.into_iter().find(|token| token.id == id).unwrap()
    };
    // Noted apart from the call.
    let listed = until("the token's use", async || {
        let listed = find(made.id).await;
        listed.last_used_at.is_some().then_some(listed)
    })
    .await;
    assert!(made.token.starts_with(&listed.prefix) && made.token.len() > listed.prefix.len() + 60);
    // Rotated with an overlap both work, without one the earlier does not.
    let rotate = async |id: Uuid, overlap: u32| -> CreatedSecret {
        let path = format!("/v1/api-tokens/{id}/rotate");
        world
            .operator
            .post(&path, &json!({ "overlap_s": overlap }))
            .await
            .unwrap()
    };
    let second = rotate(made.id, 600).await;
    assert_eq!(status(&base, &made.token, "/v1/pairs").await, 200);
    assert_eq!(status(&base, &second.token, "/v1/pairs").await, 200);
    assert_eq!(find(second.id).await.expires_at, listed.expires_at);
    let third = rotate(second.id, 0).await;
    assert_eq!(status(&base, &second.token, "/v1/pairs").await, 401);
    assert_eq!(status(&base, &third.token, "/v1/pairs").await, 200);
    // Its role is the earlier one's.
    let body = json!({ "name": "x" });
    let url = format!("{base}/v1/producers");
    let (code, _, text) = call(As::Bearer(&third.token), "POST", &url, Some(&body)).await;
    assert!(code == 403 && text.contains("auditor"), "{text}");
    // Expired: refused, and noted.
    ambient.clock.advance(Duration::seconds(3600));
    assert_eq!(status(&base, &third.token, "/v1/pairs").await, 401);
    let denied: Page<AuditEntry> = world
        .operator
        .get("/v1/audit?action=access.deny")
        .await
        .unwrap();
    assert_eq!(denied.items[0].actor, format!("token:{}", third.id));
    assert_eq!(
        denied.items[0].detail["why"],
        "the token was revoked or has expired"
    );
    // Of a wrong secret too; of a token that does not exist nobody is told.
    let wrong = format!("{}{}", &third.token[..third.token.len() - 4], "0000");
    assert_eq!(status(&base, &wrong, "/v1/pairs").await, 401);
    let nobody = third
        .token
        .replace(&third.id.simple().to_string(), &"0".repeat(32));
    assert_eq!(status(&base, &nobody, "/v1/pairs").await, 401);
    let denied: Page<AuditEntry> = world
        .operator
        .get("/v1/audit?action=access.deny")
        .await
        .unwrap();
    let why: Vec<&str> = denied
        .items
        .iter()
        .map(|e| e.detail["why"].as_str().unwrap())
        .collect();
    assert_eq!(why[0], "a wrong secret");
    assert_eq!(why.iter().filter(|w| w.contains("wrong")).count(), 1);
}

#[tokio::test]
async fn an_endpoint_whose_clock_is_off_proves_itself_with_a_nonce() {
    let database = database().await;
    let (one, two) = (replica(&database).await, replica(&database).await);
    let world = World::new(&one, Policy::default()).await;
    let (endpoint, url) = (&world.consumer, format!("{one}/v1/endpoint"));
    let token = endpoint.access_token(&one).await;
    let ambient = Ambient::system();
    let ask = async |url: &str, off: i64, nonce: Option<&str>| {
        let mut claims =
            dpop::Claims::new(&ambient, "GET", url, Some(&token), nonce.map(str::to_owned));
        claims.iat = claims.iat.saturating_add_signed(off);
        let proof = endpoint.sign_claims(&claims);
        let answer = reqwest::Client::new()
            .get(url)
            .header("authorization", format!("DPoP {token}"))
            .header("dpop", &proof)
            .send()
            .await
            .unwrap();
        let offered = answer.headers()["dpop-nonce"].to_str().unwrap().to_owned();
        (
            answer.status().as_u16(),
            offered,
            answer.text().await.unwrap(),
            proof,
        )
    };
    for off in [-600, 600] {
        let (status, nonce, text, _) = ask(&url, off, None).await;
        assert!(status == 401 && text.contains("use-dpop-nonce"), "{text}");
        assert_eq!(ask(&url, off, Some(&nonce)).await.0, 200);
        // Whichever replica gave it.
        let elsewhere = url.replace(&one, &two);
        let (status, _, _, proof) = ask(&elsewhere, off, Some(&nonce)).await;
        assert_eq!(status, 200);
        // And once only, all the same.
        let again = reqwest::Client::new()
            .get(&elsewhere)
            .header("authorization", format!("DPoP {token}"))
            .header("dpop", proof)
            .send()
            .await
            .unwrap();
        assert_eq!(again.status(), 401);
        let forged = format!("A{}", &nonce[1..]);
        assert!(forged == nonce || ask(&url, 0, Some(&forged)).await.0 == 401);
        assert_eq!(ask(&url, 0, Some("")).await.0, 401);
    }
    // The client finds out by itself; so do agents.
    struct Late<P>(P);
    impl<P: dpop::Prover> dpop::Prover for Late<P> {
        fn prove(
            &self,
            mut claims: dpop::Claims,
        ) -> futures::future::BoxFuture<'_, Result<String, dpop::ProofError>> {
            claims.iat -= 600;
            self.0.prove(claims)
        }
    }
    let client = armour_client::Client::new(&one, "").unwrap();
    let late = Late(endpoint.prover());
    let client = client.as_endpoint(world.tenant, endpoint.id, late, ambient.clone());
    assert_eq!(client.endpoint().await.unwrap().endpoint.id, endpoint.id);
}

#[tokio::test]
async fn a_stolen_access_token_is_useless() {
    let database = database().await;
    let (one, two) = (replica(&database).await, replica(&database).await);
    let world = World::new(&one, Policy::default()).await;
    let (endpoint, url) = (&world.consumer, format!("{one}/v1/endpoint"));
    let token = endpoint.access_token(&one).await;
    let http = reqwest::Client::new();
    let with = async |url: &str, scheme: &str, proof: Option<String>| -> (u16, String) {
        let mut request = http
            .get(url)
            .header("authorization", format!("{scheme} {token}"));
        if let Some(proof) = proof {
            request = request.header("dpop", proof);
        }
        let answer = request.send().await.unwrap();
        let challenge = answer.headers().get("www-authenticate").cloned();
        let status = answer.status().as_u16();
        assert_eq!(status == 401, challenge.is_some());
        (status, answer.text().await.unwrap())
    };
    let good = endpoint.proof("GET", &url, Some(&token));
    assert_eq!(with(&url, "DPoP", Some(good.clone())).await.0, 200);
    // A proof is taken once, whichever replica is asked.
    let (status, text) = with(&url, "DPoP", Some(good.clone())).await;
    assert!(status == 401 && text.contains("used before"), "{text}");
    let elsewhere = url.replace(&one, &two);
    let proof = endpoint.proof("GET", &elsewhere, Some(&token));
    assert_eq!(with(&elsewhere, "DPoP", Some(proof.clone())).await.0, 200);
    let first = with(&url.replace(&one, &two), "DPoP", Some(proof)).await;
    assert_eq!(first.0, 401);
    // The thief has the token, and a key of their own.
    let ambient = Ambient::system();
    let thief = SigningKey::generate(&mut ambient.random.generator());
    let claims = |method: &str, url: &str, of: Option<&str>| {
        dpop::Claims::new(&ambient, method, url, of, None)
    };
    let sign = |key: &SigningKey, claims: &dpop::Claims| dpop::sign(key, claims).unwrap();
    let mut late = claims("GET", &url, Some(&token));
    late.iat -= 120;
    let cases = [
        ("no proof", "DPoP", None, "exactly one DPoP header"),
        (
            "as a bearer token",
            "Bearer",
            None,
            "needs an endpoint's access token",
        ),
        (
            "another key",
            "DPoP",
            Some(sign(&thief, &claims("GET", &url, Some(&token)))),
            "not of the key",
        ),
        (
            "another method",
            "DPoP",
            Some(endpoint.proof("POST", &url, Some(&token))),
            "htm",
        ),
        (
            "another path",
            "DPoP",
            Some(endpoint.proof("GET", &format!("{one}/v1/endpoint/log"), Some(&token))),
            "htu",
        ),
        (
            "another host",
            "DPoP",
            Some(endpoint.proof("GET", "http://example.com/v1/endpoint", Some(&token))),
            "htu",
        ),
        (
            "another token",
            "DPoP",
            Some(endpoint.proof("GET", &url, Some("other"))),
            "ath",
        ),
        (
            "no token",
            "DPoP",
            Some(endpoint.proof("GET", &url, None)),
            "ath",
        ),
        (
            "an old one",
            "DPoP",
            Some(endpoint.sign_claims(&late)),
            "use-dpop-nonce",
        ),
        ("garbage", "DPoP", Some("x.y.z".into()), "not a token"),
        ("an access token", "DPoP", Some(token.clone()), "typ"),
    ];
    println!("{:24}verdict", "stolen token with");
    for (name, scheme, proof, says) in cases {
        let (status, text) = with(&url, scheme, proof).await;
        println!("{name:24}{status}");
        assert!(
            status == 401 && text.contains(says),
            "{name}: {status} {text}"
        );
    }
    // That somebody has the token is in the tenant's log.
    let denied: Page<AuditEntry> = world
        .operator
        .get("/v1/audit?action=access.deny")
        .await
        .unwrap();
    assert!(denied.items.iter().any(
        |entry| entry.detail["why"] == "access token without its key"
            && entry.actor == format!("endpoint:{}", endpoint.id)
    ));
    // No access token either for who has another key.
    let ask = json!({ "tenant_id": world.tenant, "endpoint_id": endpoint.id });
    let token_url = format!("{one}/v1/endpoint/token");
    let proof = sign(&thief, &claims("POST", &token_url, None));
    let answer = http
        .post(&token_url)
        .header("dpop", proof)
        .json(&ask)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 401);
    // A revoked endpoint's token ends with it.
    let path = format!("/v1/endpoints/{}/revoke", endpoint.id);
    let _: Value = world
        .operator
        .post(&path, &json!({ "reason": "test" }))
        .await
        .unwrap();
    let proof = endpoint.proof("GET", &url, Some(&token));
    assert_eq!(with(&url, "DPoP", Some(proof)).await.0, 403);
}

#[tokio::test]
async fn a_stream_ends_with_the_credentials_that_opened_it() {
    use futures::StreamExt;
    let ambient = still();
    let app = app_in(&database().await, &[], ambient.clone()).await;
    let base = serve(app.unwrap()).await;
    let world = World::new(&base, Policy::default()).await;
    let made: CreatedSecret = world
        .operator
        .post(
            "/v1/api-tokens",
            &json!({ "name": "watch", "role": "auditor" }),
        )
        .await
        .unwrap();
    let watcher = Client::new(&base, &made.token).unwrap();
    let of_token = watcher.events("/v1/events", Some(0)).await.unwrap();
    let endpoint = world.consumer.client(&base);
    let of_endpoint = endpoint
        .events("/v1/endpoint/events", Some(0))
        .await
        .unwrap();
    let url = format!("{base}/v1/api-tokens/{}", made.id);
    let token = world.operator_token();
    assert_eq!(call(As::Bearer(&token), "DELETE", &url, None).await.0, 204);
    let path = format!("/v1/endpoints/{}/revoke", world.consumer.id);
    let _: Value = world
        .operator
        .post(&path, &json!({ "reason": "test" }))
        .await
        .unwrap();
    let ended = async {
        of_token.collect::<Vec<_>>().await;
        of_endpoint.collect::<Vec<_>>().await;
    };
    tokio::time::timeout(PATIENCE, ended).await.unwrap();
}

#[tokio::test]
async fn a_session_is_of_its_page_alone_and_ends() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let issuer: Value = world
        .operator
        .post(
            "/v1/issuers",
            &json!({ "kind": "people", "name": "staff", "url": "https://login.example.com",
                     "audience": "armour", "role_map": { "ops": "operator" } }),
        )
        .await
        .unwrap();
    let issuer = Uuid::parse_str(issuer["id"].as_str().unwrap()).unwrap();
    let (id, secret) = (Ambient::system().id(), "ab".repeat(32));
    let cookie = format!(
        "armour_sess_{}_{}_{secret}",
        world.tenant.simple(),
        id.simple()
    );
    let mut connection = bound(&database, world.tenant).await;
    sqlx::query(
        "INSERT INTO sessions (tenant_id, session_id, issuer_id, hash, subject, name, role,
                               user_agent, expires_at)
         VALUES ($1, $2, $3, $4, 'sub', 'Somebody', 'operator', 'test', now() + interval '1 hour')",
    )
    .bind(world.tenant)
    .bind(id)
    .bind(issuer)
    .bind(&Sha256::digest(&cookie)[..])
    .execute(&mut connection)
    .await
    .unwrap();
    let http = reqwest::Client::new();
    let ask = async |method: &str, path: &str, headers: &[(&str, &str)]| -> (u16, Value) {
        let mut request = http
            .request(method.parse().unwrap(), format!("{base}{path}"))
            .header("cookie", format!("other=1; __Host-armour-session={cookie}"));
        if method == "POST" {
            request =
                request.json(&json!({ "name": format!("p {}", Ambient::system().opaque_id()) }));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        (
            answer.status().as_u16(),
            answer.json().await.unwrap_or(Value::Null),
        )
    };
    let planted = format!("%5F%5FHost-armour-session={cookie}");
    let request = http
        .get(format!("{base}/v1/whoami"))
        .header("cookie", planted);
    assert_eq!(request.send().await.unwrap().status(), 401);
    let (status, who) = ask("GET", "/v1/whoami", &[]).await;
    assert_eq!(
        (status, &who["name"], &who["role"]),
        (200, &json!("Somebody"), &json!("operator"))
    );
    let csrf = who["csrf_token"].as_str().unwrap();
    // Another site can make the browser send the cookie, and knows no token.
    let path = "/v1/producers";
    let wrong = "0".repeat(64);
    let cases: [(&[(&str, &str)], u16); 5] = [
        (&[], 403),
        (&[("x-csrf-token", &wrong)], 403),
        (
            &[("x-csrf-token", csrf), ("sec-fetch-site", "cross-site")],
            403,
        ),
        (
            &[("x-csrf-token", csrf), ("sec-fetch-site", "same-origin")],
            201,
        ),
        (&[("x-csrf-token", csrf)], 201),
    ];
    for (headers, expected) in cases {
        assert_eq!(ask("POST", path, headers).await.0, expected, "{headers:?}");
    }
    // It acts in the person's name.
    let log: Page<AuditEntry> = world
        .operator
        .get("/v1/audit?action=producer.")
        .await
        .unwrap();
    assert_eq!(log.items[0].actor, format!("person:{issuer}:sub"));
    // Its role holds as a token's does.
    assert_eq!(ask("GET", "/v1/api-tokens", &[]).await.0, 403);
    // An idle one is over, and so is one whose time has come.
    for ended in [
        "last_used_at = now() - interval '31 minutes'",
        "expires_at = now()",
    ] {
        let sql = format!("UPDATE sessions SET {ended}");
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .execute(&mut connection)
            .await
            .unwrap();
        assert_eq!(ask("GET", "/v1/whoami", &[]).await.0, 401);
        let sql =
            "UPDATE sessions SET last_used_at = now(), expires_at = now() + interval '1 hour'";
        sqlx::query(sql).execute(&mut connection).await.unwrap();
        assert_eq!(ask("GET", "/v1/whoami", &[]).await.0, 200);
    }
    // An administrator sees and ends it; then its cookie is nothing any more.
    let sessions: Value = world.operator.get("/v1/sessions").await.unwrap();
    assert_eq!(sessions["items"][0]["subject"], "sub");
    let url = format!("{base}/v1/sessions/{id}");
    let token = world.operator_token();
    assert_eq!(call(As::Bearer(&token), "DELETE", &url, None).await.0, 204);
    assert_eq!(ask("GET", "/v1/whoami", &[]).await.0, 401);
    // A session's secret is no API token.
    assert!(
        Client::new(&base, &cookie)
            .unwrap()
            .get::<Value>("/v1/whoami")
            .await
            .is_err()
    );
}
