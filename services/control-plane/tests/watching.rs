//! What people watch and look for: pairs by search and order, changes that would
//! overwrite another's, a lane's tickets, the tenant at a glance.

use armour_api::{
    Bundle, Endpoint, Heartbeat, NewPair, Obedience, Overview, Page, Pair, Policy, Role, System,
};
use armour_client::Client;
use serde_json::json;

use crate::common::{As, PLATFORM, World, call, database, replica_with, until};

#[tokio::test]
async fn pairs_are_found_in_every_order_without_a_gap() {
    let base = replica_with(&database().await, &[]).await;
    let world = World::new(&base, Policy::default()).await;
    let operator = &world.operator;
    let mut producers = Vec::new();
    for n in 0..3 {
        let name = format!("p{n} 100%");
        producers.push(
            operator
                .create_party(Role::Producer, &name)
                .await
                .unwrap()
                .id,
        );
    }
    let mut made = vec![world.pair.clone()];
    for n in 0..30 {
        // Names that are the same but for case, and some in no order of their ids.
        let name = format!("{}-{}", ["shop", "Shop", "cart"][n % 3], (n * 7) % 30);
        let consumer_id = operator
            .create_party(Role::Consumer, &name)
            .await
            .unwrap()
            .id;
        let new = NewPair {
            consumer_id,
            producer_id: producers[n % 3],
            policy: Policy::default(),
        };
        made.push(operator.create_pair(&new).await.unwrap());
    }
    let all = async |query: &str| -> Vec<Pair> {
        let (mut pairs, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/pairs?limit=7&{query}{cursor}");
            let page: Page<Pair> = operator.get(&path).await.unwrap();
            assert!(page.items.len() <= 7);
            pairs.extend(page.items);
            match page.next {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return pairs,
            }
        }
    };
    let ids = |pairs: &[Pair]| pairs.iter().map(|pair| pair.id).collect::<Vec<_>>();
    let mut expected = made.clone();
    expected.sort_by_key(|pair| pair.id);
    assert_eq!(ids(&all("sort=oldest").await), ids(&expected));
    expected.reverse();
    assert_eq!(ids(&all("").await), ids(&expected));
    for (sort, by) in [("consumer", 0), ("producer", 1)] {
        let found = all(&format!("sort={sort}")).await;
        assert_eq!(found.len(), made.len());
        let names = found.iter().map(|pair| match by {
            0 => pair.consumer_name.as_str(),
            _ => pair.producer_name.as_str(),
        });
        // In the database's own order of texts, and each value in one run.
        let mut runs: Vec<&str> = names.collect();
        runs.dedup();
        let mut once = runs.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(runs.len(), once.len(), "{sort}: {runs:?}");
        let mut backwards = ids(&all(&format!("sort={sort}-descending")).await);
        backwards.reverse();
        assert_eq!(backwards, ids(&found));
    }
    assert_eq!(all("search=SHOP-").await.len(), 20);
    assert_eq!(all("search=p1").await.len(), 10);
    // What stands for any text in a pattern stands for itself.
    assert_eq!(all("search=100%25").await.len(), 30);
    assert_eq!(all("search=1_0").await.len(), 0);
    assert_eq!(all("state=disconnected").await.len(), 0);
    for bad in [
        "limit=0",
        "limit=501",
        "sort=x",
        "state=x",
        "cursor=x",
        "search=",
    ] {
        let url = format!("{base}/v1/pairs?{bad}");
        let token = world.operator_token();
        assert_eq!(
            call(As::Bearer(&token), "GET", &url, None).await.0,
            400,
            "{bad}"
        );
    }
}

#[tokio::test]
async fn nobody_overwrites_what_another_changed_meanwhile() {
    let base = replica_with(&database().await, &[]).await;
    let world = World::new(&base, Policy::default()).await;
    let url = format!("{base}/v1/pairs/{}", world.pair.id);
    let token = world.operator_token();
    let (_, headers, _) = call(As::Bearer(&token), "GET", &url, None).await;
    let tag = headers["etag"].to_str().unwrap().to_owned();
    let put = async |tag: &str, lease_ms: u32| {
        let policy = Policy {
            lease_ms,
            ..Policy::default()
        };
        reqwest::Client::new()
            .put(format!("{url}/policy"))
            .bearer_auth(&token)
            .header("if-match", tag)
            .json(&policy)
            .send()
            .await
            .unwrap()
    };
    let first = put(&tag, 70_000).await;
    assert_eq!(first.status(), 200);
    let now = first.headers()["etag"].to_str().unwrap().to_owned();
    assert_ne!(now, tag);
    let second = put(&tag, 80_000).await;
    assert_eq!(second.status(), 412);
    let problem: armour_api::Problem = second.json().await.unwrap();
    assert_eq!(problem.r#type, "urn:armour:problem:changed-meanwhile");
    let pair: Pair = world
        .operator
        .get(&format!("/v1/pairs/{}", world.pair.id))
        .await
        .unwrap();
    assert_eq!(pair.policy.lease_ms, 70_000);
    assert_eq!(put(&now, 80_000).await.status(), 200);
    assert_eq!(put("*", 90_000).await.status(), 200);

    // A pair that collided anew meanwhile is not re-armed for what was seen before.
    let act = async |what: &str, tag: Option<&str>| {
        let mut request = reqwest::Client::new()
            .post(format!("{url}/{what}"))
            .bearer_auth(&token)
            .json(&json!({ "reason": "looked at it" }));
        if let Some(tag) = tag {
            request = request.header("if-match", tag);
        }
        let answer = request.send().await.unwrap();
        (
            answer.status(),
            answer
                .headers()
                .get("etag")
                .map(|tag| tag.to_str().unwrap().to_owned()),
        )
    };
    let (_, seen) = act("disconnect", None).await;
    assert_eq!(act("re-arm", None).await.0, 200);
    assert_eq!(act("disconnect", None).await.0, 200);
    assert_eq!(act("re-arm", seen.as_deref()).await.0, 412);
    let (_, headers, _) = call(As::Bearer(&token), "GET", &url, None).await;
    let now = format!("\"0\", {}", headers["etag"].to_str().unwrap());
    assert_eq!(act("re-arm", Some(&now)).await.0, 200);
}

#[tokio::test]
async fn a_disconnect_shows_who_obeyed() {
    let base = replica_with(&database().await, &[]).await;
    let world = World::new(&base, Policy::default()).await;
    let (consumer, producer) = (&world.consumer, &world.producer);
    let id = consumer.draw(&base, world.pair.id, None).await.bundle.id;
    let path = format!("/v1/bundles/{id}/disconnect");
    let _: Bundle = world
        .operator
        .post(&path, &json!({ "reason": "test" }))
        .await
        .unwrap();
    // The consumer still names it; the producer does not.
    consumer.heartbeat(&base, vec![id]).await;
    producer.heartbeat(&base, vec![]).await;
    let obeyed = async || -> Vec<Obedience> {
        let path = format!("/v1/bundles/{id}/obediences");
        world.operator.get(&path).await.unwrap()
    };
    let first = obeyed().await;
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].endpoint_id, world.producer.id);
    consumer.heartbeat(&base, vec![]).await;
    producer.heartbeat(&base, vec![]).await;
    let both = obeyed().await;
    assert_eq!(both.len(), 2);
    assert_eq!(both[0], first[0]);
    let overview: Overview = world.operator.get("/v1/overview").await.unwrap();
    assert_eq!((overview.pairs_active, overview.pairs_disconnected), (1, 0));
    assert_eq!(overview.endpoints_healthy, 2);
    assert!(overview.obeyed_after_ms_median.unwrap() > 0.0);
    assert!(overview.collisions.is_empty());
    let told = Heartbeat {
        bundles: vec![],
        error: Some(format!("the upstream failed\n{}", "x".repeat(400))),
        ..Heartbeat::default()
    };
    producer.beat(&base, &told).await;
    producer.heartbeat(&base, vec![]).await;
    let path = format!("/v1/endpoints/{}", world.producer.id);
    let endpoint: Endpoint = world.operator.get(&path).await.unwrap();
    let error = endpoint.last_error.unwrap();
    assert!(error.starts_with("the upstream failedx") && error.len() == 300);
    assert!(endpoint.last_error_at.is_some());
    let platform = Client::new(&base, PLATFORM).unwrap();
    // This replica tells of itself once its workers run.
    until("a replica", async || {
        let system: System = platform.get("/v1/platform/system").await.unwrap();
        assert!(system.database_bytes > 1_000_000 && system.tenants == 1);
        assert!(system.migrations.contains(&3));
        (!system.replicas.is_empty()).then_some(())
    })
    .await;
}
