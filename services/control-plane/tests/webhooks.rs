//! Receivers of webhooks that do not behave.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use armour_api::{AuditEntry, CreatedWebhook, Delivery, Page, Policy, Webhook};
use armour_control_plane::{
    jobs,
    platform::egress::{EgressOptions, Egresses},
    webhooks::delivery::{self, Deliveries},
};
use axum::{Router, http::StatusCode, routing::post};
use futures::StreamExt;
use serde_json::json;
use sqlx::PgPool;
use tokio::sync::Notify;

use crate::common::{As, PATIENCE, World, app_with, call, database, replica_with, serve, until};

const INSIDE: [&str; 2] = ["--egress-allow-webhooks", "127.0.0.0/8"];

async fn receiver(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

async fn told_at(world: &World, url: &str) -> Webhook {
    let new = json!({ "url": url, "kinds": ["*"] });
    let made: CreatedWebhook = world.operator.post("/v1/webhooks", &new).await.unwrap();
    made.webhook
}

/// Makes an event.
async fn event(world: &World) {
    let url = format!("{}/v1/pairs/{}/policy", world.base, world.pair.id);
    let token = world.operator_token();
    let body = json!(Policy::default());
    let (status, _, text) = call(As::Bearer(&token), "PUT", &url, Some(&body)).await;
    assert_eq!(status, 200, "{text}");
}

#[tokio::test]
async fn h5_a_receiver_that_hangs_delays_no_other_tenants_nor_the_tenants_others() {
    let database = database().await;
    // Nobody delivers yet.
    let base = serve(app_with(&database, &INSIDE).await.unwrap()).await;
    let (hostile, other) = (
        World::new(&base, Policy::default()).await,
        World::new(&base, Policy::default()).await,
    );
    let hangs = receiver(Router::new().route("/", post(std::future::pending::<()>))).await;
    let heard = Arc::new(Notify::new());
    let answers = {
        let heard = heard.clone();
        Router::new().route("/", post(async move || heard.notify_one()))
    };
    let answers = receiver(answers).await;
    let silent = told_at(&hostile, &hangs).await;
    for _ in 0..60 {
        event(&hostile).await;
    }
    let beside = told_at(&hostile, &answers).await;
    event(&hostile).await;
    told_at(&other, &answers).await;
    event(&other).await;
    replica_with(&database, &INSIDE).await;
    // Both that answer are told while most that hang have not even been tried: those would
    // take minutes.
    heard.notified().await;
    until("the delivery beside", async || {
        let path = format!("/v1/webhooks/{}/deliveries", beside.id);
        let page: Page<Delivery> = hostile.operator.get(&path).await.unwrap();
        page.items[0].delivered_at.map(|_| ())
    })
    .await;
    let path = format!("/v1/webhooks/{}/deliveries", silent.id);
    let page: Page<Delivery> = hostile.operator.get(&path).await.unwrap();
    let untried = page.items.iter().filter(|one| one.attempts == 0).count();
    assert!(
        untried > 20,
        "{untried} of {} are untried",
        page.items.len()
    );
}

#[tokio::test]
async fn h5_a_tenant_whose_receivers_hang_has_its_turns_and_no_more() {
    let database = database().await;
    // Nobody delivers yet.
    let app = app_with(&database, &INSIDE).await.unwrap();
    let base = serve(app.clone()).await;
    let hostile = World::new(&base, Policy::default()).await;
    let other = World::new(&base, Policy::default()).await;
    let hangs = receiver(Router::new().route("/", post(std::future::pending::<()>))).await;
    let heard = Arc::new(Notify::new());
    let answers = {
        let heard = heard.clone();
        Router::new().route("/", post(async move || heard.notify_one()))
    };
    let silent = told_at(&hostile, &hangs).await;
    for _ in 0..120 {
        event(&hostile).await;
    }
    told_at(&other, &receiver(answers).await).await;
    event(&other).await;
    // With a place for one tenant at a time, and the hostile one before the other.
    let options = EgressOptions {
        egress_allow_webhooks: vec!["127.0.0.0/8".parse().unwrap()],
        ..EgressOptions::default()
    };
    let deliveries = Deliveries {
        store: app.store.clone(),
        egresses: Egresses::new(&options).unwrap(),
        tenants_at_once: 1,
        retry: chrono::Duration::seconds(5),
        stopping: app.stopping.clone(),
    };
    jobs::start(vec![delivery::job(deliveries)], &app.stopping).detach_all();
    tokio::time::timeout(PATIENCE, heard.notified())
        .await
        .unwrap();
    let path = format!("/v1/webhooks/{}/deliveries", silent.id);
    let page: Page<Delivery> = hostile.operator.get(&path).await.unwrap();
    let untried = page.items.iter().filter(|one| one.attempts == 0).count();
    assert!(untried > 50, "{untried} of {}", page.items.len());
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_told_nothing_more_and_people_are_told_so() {
    let database = database().await;
    let base = replica_with(&database, &INSIDE).await;
    let world = World::new(&base, Policy::default()).await;
    let posts = Arc::new(AtomicU32::new(0));
    let gone = {
        let posts = posts.clone();
        Router::new().route(
            "/",
            post(async move || {
                posts.fetch_add(1, Ordering::Relaxed);
                StatusCode::GONE
            }),
        )
    };
    let mut events = world.operator.events("/v1/events", None).await.unwrap();
    let webhook = told_at(&world, &receiver(gone).await).await;
    let path = format!("/v1/webhooks/{}", webhook.id);
    event(&world).await;
    let disabled = until("the end of it", async || {
        let now: Webhook = world.operator.get(&path).await.unwrap();
        now.disabled_at
    });
    disabled.await;
    let told = async {
        loop {
            let event = events.next().await.unwrap();
            if event.kind == "webhook.disabled" {
                return event;
            }
        }
    };
    let told = tokio::time::timeout(PATIENCE, told).await.unwrap();
    assert_eq!(told.detail["webhook_id"], json!(webhook.id));
    assert_eq!(told.detail["status"], 410);
    let noted = "/v1/audit?action=webhook.disable";
    let noted: Page<AuditEntry> = world.operator.get(noted).await.unwrap();
    assert_eq!(noted.items.len(), 1);
    assert_eq!(noted.items[0].target, webhook.id.to_string());
    // What happens now it is not told.
    event(&world).await;
    let deliveries: Page<Delivery> = world
        .operator
        .get(&format!("{path}/deliveries"))
        .await
        .unwrap();
    let first = deliveries.items.last().unwrap();
    assert_eq!((deliveries.items.len(), first.last_status), (1, Some(410)));
    assert_eq!(posts.load(Ordering::Relaxed), 1);
    let replay = format!("{base}{path}/deliveries/{}/replay", first.id);
    let token = world.operator_token();
    let (status, _, text) = call(As::Bearer(&token), "POST", &replay, None).await;
    assert!(status == 409 && text.contains("webhook-disabled"), "{text}");
    // Until somebody enables it.
    let enabled: Webhook = world
        .operator
        .post(&format!("{path}/enable"), &json!({}))
        .await
        .unwrap();
    assert_eq!(enabled.disabled_at, None);
    event(&world).await;
    until("the next", async || {
        (posts.load(Ordering::Relaxed) == 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_database_that_fails_breaks_no_delivery_off_that_is_under_way() {
    let database = database().await;
    let base = replica_with(&database, &INSIDE).await;
    let world = World::new(&base, Policy::default()).await;
    let posts = Arc::new(AtomicU32::new(0));
    let (came, answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let router = {
        let (posts, came, answer) = (posts.clone(), came.clone(), answer.clone());
        let hear = async move || {
            posts.fetch_add(1, Ordering::Relaxed);
            came.notify_one();
            answer.notified().await;
        };
        Router::new().route("/", post(hear))
    };
    let webhook = told_at(&world, &receiver(router).await).await;
    event(&world).await;
    came.notified().await;
    let pool = PgPool::connect(&database).await.unwrap();
    for (table, other) in [
        ("work_hints", "gone"),
        ("webhook_deliveries", "gone_as_well"),
    ] {
        let rename = |from: &str, to: &str| {
            sqlx::query(sqlx::AssertSqlSafe(format!(
                "ALTER TABLE {from} RENAME TO {to}"
            )))
        };
        rename(table, other).execute(&pool).await.unwrap();
        // It is looked for others that are due, twice a second.
        tokio::time::sleep(Duration::from_millis(1200)).await;
        rename(other, table).execute(&pool).await.unwrap();
    }
    answer.notify_one();
    until("the delivery", async || {
        answer.notify_one();
        let path = format!("/v1/webhooks/{}/deliveries", webhook.id);
        let page: Page<Delivery> = world.operator.get(&path).await.unwrap();
        page.items[0].delivered_at.map(|_| ())
    })
    .await;
    assert_eq!(posts.load(Ordering::Relaxed), 1);
}
