//! Quotas and rates: told, kept to, and the same for all replicas.

use armour_ambient::Ambient;
use armour_api::{NewPair, Policy, Quotas, Role};
use armour_client::Client;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures::StreamExt;
use serde_json::json;

use crate::common::{As, PATIENCE, PLATFORM, World, call, database, enrol, replica, until};

async fn set(base: &str, world: &World, quotas: &Quotas) {
    let url = format!("{base}/v1/tenants/{}/quotas", world.tenant);
    let body = json!(quotas);
    let (status, _, text) = call(As::Bearer(PLATFORM), "PUT", &url, Some(&body)).await;
    assert_eq!(status, 200, "{text}");
}

#[tokio::test]
async fn the_platform_changes_quotas_as_read_and_sees_a_tenant_in_figures_alone() {
    let base = replica(&database().await).await;
    let world = World::new(&base, Policy::default()).await;
    let url = format!("{base}/v1/tenants/{}/quotas", world.tenant);
    let read = async || {
        let (status, headers, _) = call(As::Bearer(PLATFORM), "GET", &url, None).await;
        assert_eq!(status, 200);
        headers["etag"].to_str().unwrap().to_owned()
    };
    let put = async |tag: &str, pairs: u32| {
        let quotas = Quotas {
            pairs,
            ..Quotas::default()
        };
        reqwest::Client::new()
            .put(&url)
            .bearer_auth(PLATFORM)
            .header("if-match", tag)
            .json(&quotas)
            .send()
            .await
            .unwrap()
            .status()
    };
    let first = read().await;
    assert_eq!(put(&first, 7).await, 200);
    assert_eq!(put(&first, 8).await, 412);
    assert_eq!(put(&read().await, 8).await, 200);
    let own: Quotas = world.operator.get("/v1/quotas").await.unwrap();
    assert_eq!(own.pairs, 8);

    let figures = format!("{base}/v1/tenants/{}/overview", world.tenant);
    let (status, _, text) = call(As::Bearer(PLATFORM), "GET", &figures, None).await;
    assert_eq!(status, 200, "{text}");
    let overview: armour_api::Overview = serde_json::from_str(&text).unwrap();
    assert_eq!((overview.pairs_active, overview.endpoints_healthy), (1, 2));
    assert!(!text.contains(&world.pair.consumer_name));
    let found = format!(
        "{base}/v1/tenants?search={}",
        &world.tenant.to_string()[..30]
    );
    let (_, _, text) = call(As::Bearer(PLATFORM), "GET", &found, None).await;
    let page: armour_api::Page<armour_api::Tenant> = serde_json::from_str(&text).unwrap();
    assert!(page.items.iter().any(|tenant| tenant.id == world.tenant));
    let none = format!("{base}/v1/tenants?search=%25nobody");
    let (_, _, text) = call(As::Bearer(PLATFORM), "GET", &none, None).await;
    let page: armour_api::Page<armour_api::Tenant> = serde_json::from_str(&text).unwrap();
    assert!(page.items.is_empty());
}

#[tokio::test]
async fn a_tenant_has_no_more_than_its_quotas() {
    let database = database().await;
    let (one, two) = (replica(&database).await, replica(&database).await);
    let world = World::new(&one, Policy::default()).await;
    let quotas = Quotas {
        parties: 5,
        endpoints: 2,
        pairs: 1,
        api_tokens: 2,
        webhooks: 0,
        issuers: 0,
        ..Quotas::default()
    };
    set(&one, &world, &quotas).await;
    let own: Quotas = world.operator.get("/v1/quotas").await.unwrap();
    assert_eq!(own, quotas);
    // Of many calls at the same time on two replicas just as many succeed as fit.
    let other = Client::new(&two, world.operator_token()).unwrap();
    let calls = (0..20).map(|n| {
        let client = if n % 2 == 0 { &world.operator } else { &other };
        let name = format!("more {n}");
        async move { client.create_party(Role::Consumer, &name).await }
    });
    let done = futures::future::join_all(calls).await;
    assert_eq!(done.iter().filter(|result| result.is_ok()).count(), 3);
    for refused in done.iter().filter_map(|result| result.as_ref().err()) {
        assert!(refused.is("over-quota"), "{refused}");
    }
    let token = world
        .operator
        .create_enrolment_token(Role::Consumer, world.pair.consumer_id)
        .await
        .unwrap();
    let extra =
        crate::common::enrol_with(&world.operator.with_token(token.token), Role::Consumer).await;
    assert!(extra.is_err_and(|error| error.is("over-quota")));
    let tries = [
        (
            "/v1/webhooks",
            json!({ "url": "https://example.com/", "kinds": ["*"] }),
        ),
        (
            "/v1/issuers",
            json!({ "kind": "workload", "name": "x", "url": "https://example.com", "audience": "x" }),
        ),
    ];
    for (path, body) in tries {
        let token = world.operator_token();
        let (status, _, text) = call(
            As::Bearer(&token),
            "POST",
            &format!("{one}{path}"),
            Some(&body),
        )
        .await;
        assert!(
            status == 403 && text.contains("over-quota"),
            "{path}: {text}"
        );
    }
    // Another tenant is not touched.
    let free = World::new(&one, Policy::default()).await;
    enrol(&free.operator, Role::Consumer, free.pair.consumer_id).await;
}

#[tokio::test]
async fn two_replicas_keep_to_one_rate() {
    let database = database().await;
    let (one, two) = (replica(&database).await, replica(&database).await);
    let world = World::new(&one, Policy::default()).await;
    // Few: each refusal is held back for a quarter of a second.
    let most = 8;
    let quotas = Quotas {
        requests: most,
        ..Quotas::default()
    };
    set(&one, &world, &quotas).await;
    let token = world.operator_token();
    // A window that all calls fall into, however long they take here; not at its ends, for
    // the replicas go by the database's clock.
    let now = || Ambient::system().now().timestamp_millis();
    // A later one than this: a replica keeps what it has leased under the earlier quotas
    // until the window ends.
    let this = now() / 10_000;
    let (served, refused, least) = until("calls within one window", async || {
        let began = until("a window's beginning", async || {
            Some(now())
                .filter(|now| now / 10_000 > this && (1_000..4_000).contains(&(now % 10_000)))
        })
        .await;
        let found = burst(&one, &two, &token, most).await;
        let window = began - began % 10_000;
        (now() < window + 9_000).then_some(found)
    })
    .await;
    println!("{most} allowed in 10 s; two replicas served {served}, refused {refused}");
    // Just as many: what one replica has leased and not used, it uses itself.
    assert_eq!((served, refused, least), (most, most, 0));
    // Endpoints have a rate of their own, and another tenant too.
    world.consumer.client(&one).endpoint().await.unwrap();
    World::new(&one, Policy::default()).await;
    // The next window is a new one.
    let url = format!("{one}/v1/whoami");
    until("the next window", async || {
        let (status, ..) = call(As::Bearer(&token), "GET", &url, None).await;
        (status == 200).then_some(())
    })
    .await;
}

/// Twice as many calls as may be, to two replicas in turn: how many were served, how many
/// refused, and the least that they said was left.
async fn burst(one: &str, two: &str, token: &str, most: u32) -> (u32, u32, u32) {
    let http = reqwest::Client::new();
    let (mut served, mut refused, mut least) = (0, 0, u32::MAX);
    for n in 0..2 * most {
        let base = if n % 2 == 0 { one } else { two };
        let url = format!("{base}/v1/whoami");
        let answer = http.get(url).bearer_auth(token).send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await.unwrap();
        assert_eq!(
            headers["ratelimit-policy"],
            format!("\"tenant\";q={most};w=10")
        );
        let left = headers["ratelimit"].to_str().unwrap();
        let left = left.strip_prefix("\"tenant\";r=").unwrap();
        least = least.min(left.split(';').next().unwrap().parse().unwrap());
        match status {
            200 => served += 1,
            429 => {
                refused += 1;
                let wait: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
                assert!((1..=11).contains(&wait));
                assert!(text.contains("rate-limited"), "{text}");
            }
            other => panic!("{other} {text}"),
        }
    }
    (served, refused, least)
}

#[tokio::test]
async fn h3_a_flood_of_calls_without_right_credentials_refuses_nobody_who_is_known() {
    let database = database().await;
    let world = World::new(&replica(&database).await, Policy::default()).await;
    // Here all calls come from one source, as behind a proxy that is not trusted.
    let base = crate::common::replica_with(&database, &["--rate-limit", "3"]).await;
    let known = Client::new(&base, world.operator_token()).unwrap();
    known.get::<serde_json::Value>("/v1/pairs").await.unwrap();
    let choices = format!("{base}/v1/auth/choices?tenant={}", world.tenant);
    let mut made_up = 0;
    let mut flood = async |credentials: bool| {
        for _ in 0..1000 {
            made_up += 1;
            let token = world.operator_token() + &made_up.to_string();
            let who = match credentials {
                true => As::Bearer(&token),
                false => As::Nobody,
            };
            if call(who, "GET", &choices, None).await.0 == 429 {
                return;
            }
        }
        panic!("1000 calls were let in, with made up credentials: {credentials}");
    };
    for credentials in [false, true] {
        flood(credentials).await;
        for probe in ["/v1/health", "/v1/health/ready"] {
            for _ in 0..20 {
                let url = format!("{base}{probe}");
                assert_eq!(call(As::Nobody, "GET", &url, None).await.0, 200);
            }
            flood(credentials).await;
        }
        flood(credentials).await;
        world.consumer.client(&base).endpoint().await.unwrap();
        flood(credentials).await;
        known.get::<serde_json::Value>("/v1/pairs").await.unwrap();
        flood(credentials).await;
        let tenants = format!("{base}/v1/tenants");
        assert_eq!(
            call(As::Bearer(PLATFORM), "GET", &tenants, None).await.0,
            200
        );
    }
}

/// Tokens that name keys which nobody has cost nothing to make up.
#[tokio::test]
async fn tokens_of_unknown_keys_are_counted_before_the_database_is_asked() {
    let database = database().await;
    let base = crate::common::replica_with(&database, &["--rate-limit", "1"]).await;
    let pool = sqlx::PgPool::connect(&database).await.unwrap();
    let mut locked = pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE signing_keys IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *locked)
        .await
        .unwrap();
    // What the replica knows of keys is then too old to tell that there is no such one.
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = json!({ "typ": "at+jwt", "alg": "EdDSA", "kid": "made-up" });
    let token = format!("{}.{}.AAAA", part(header), part(json!({})));
    let client = reqwest::Client::new();
    let calls = (0..300).map(|_| {
        let request = client.get(format!("{base}/v1/endpoint"));
        let request = request.header("authorization", format!("DPoP {token}"));
        async move { request.send().await.unwrap().status() }
    });
    // No more at once than wait to be accepted where a machine lets few.
    let mut calls = std::pin::pin!(futures::stream::iter(calls).buffer_unordered(100));
    let refused = async {
        let mut refused = 0;
        while refused < 50 {
            refused += u32::from(calls.next().await.unwrap() == 429);
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.unwrap();
    locked.rollback().await.unwrap();
}

#[tokio::test]
async fn h6_an_endpoint_is_told_all_of_its_pairs() {
    let base = replica(&database().await).await;
    let world = World::new(&base, Policy::default()).await;
    let mut pairs = vec![world.pair.id];
    for n in 0..101 {
        let name = format!("stock {n}");
        let producer = world.operator.create_party(Role::Producer, &name).await;
        let new = NewPair {
            consumer_id: world.pair.consumer_id,
            producer_id: producer.unwrap().id,
            policy: Policy::default(),
        };
        pairs.push(world.operator.create_pair(&new).await.unwrap().id);
    }
    pairs.sort_unstable();
    let own = world.consumer.client(&base).endpoint().await.unwrap();
    let told: Vec<_> = own.pairs.iter().map(|pair| pair.id).collect();
    assert_eq!(told, pairs);
    assert_eq!(own.next, None);
}
