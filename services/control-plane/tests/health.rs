//! Readiness that means what it says, and draining.

use std::time::Duration;

use armour_ambient::Ambient;
use armour_api::Policy;
use armour_control_plane::{
    app::{App, router},
    config::Config,
};
use clap::Parser;
use futures::StreamExt;
use prometheus::Registry;
use serde_json::json;
use tokio::{io::AsyncWriteExt, time::Instant};

use crate::common::{MASTER_KEYS, PLATFORM, World, app_with, database, serve, serving, until};

/// Status and what is said.
async fn ask(url: &str) -> (u16, String) {
    let answer = reqwest::get(url).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn until_ready(base: &str, status: u16, says: &str) {
    let url = format!("{base}/v1/health/ready");
    until(&format!("{status} {says}"), async || {
        let now = ask(&url).await;
        (now.0 == status && now.1.contains(says)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_database_that_is_not_migrated_is_waited_for() {
    let owner = database().await;
    let database = serving(&owner);
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("platform");
    std::fs::write(&token, PLATFORM).unwrap();
    let key = format!("1:{}", MASTER_KEYS[0]);
    let config = |wait: &str| {
        Config::try_parse_from([
            "control-plane",
            "--database-url",
            &database,
            "--master-keys",
            &key,
            "--platform-token-file",
            token.to_str().unwrap(),
            "--database-wait-s",
            wait,
        ])
        .unwrap()
    };
    let refused = App::start(config("1"), Ambient::system())
        .await
        .err()
        .unwrap();
    let text = format!("{refused:#}");
    assert!(text.contains("lacks the migrations [1, 2"), "{text}");
    // Somebody migrates it meanwhile, as the chart's Job does.
    let mut waiting = Box::pin(App::start(config("180"), Ambient::system()));
    let a_while = tokio::time::timeout(Duration::from_millis(300), &mut waiting);
    assert!(a_while.await.is_err(), "it waits");
    let only = [
        "control-plane",
        "--migrate-only",
        "--database-url",
        &database,
        "--database-owner-url",
        &owner,
    ];
    let only = Config::try_parse_from(only).unwrap();
    let migrate = async {
        let ambient = Ambient::system();
        let migrated = armour_control_plane::platform::database::migrate(&only.database, &ambient);
        migrated.await.unwrap();
    };
    let (app, ()) = tokio::join!(waiting, migrate);
    let app = app.unwrap();
    until_ready(&serve(app).await, 200, "ok").await;
}

#[tokio::test]
async fn a_server_that_takes_no_writes_is_not_ready_and_comes_back() {
    let database = database().await;
    let base = serve(app_with(&database, &[]).await.unwrap()).await;
    until_ready(&base, 200, "ok").await;
    let server = std::env::var("ARMOUR_TEST_POSTGRES").unwrap();
    let pool = sqlx::PgPool::connect(&server).await.unwrap();
    let name = database.rsplit_once('/').unwrap().1;
    // As a server that was demoted is to those who connect anew.
    let set = async |value: &str| {
        let alter = format!("ALTER DATABASE {name} SET default_transaction_read_only = {value}");
        for sql in [
            alter,
            format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE datname = '{name}' AND pid <> pg_backend_pid()"
            ),
        ] {
            sqlx::query(sqlx::AssertSqlSafe(sql))
                .execute(&pool)
                .await
                .unwrap();
        }
    };
    set("on").await;
    until_ready(&base, 503, "takes writes").await;
    // Nobody restarts it for that.
    assert_eq!(ask(&format!("{base}/v1/health")).await.0, 200);
    set("off").await;
    until_ready(&base, 200, "ok").await;
}

#[tokio::test]
async fn a_replica_without_the_active_master_key_is_not_ready() {
    let database = database().await;
    let old = serve(app_with(&database, &[]).await.unwrap()).await;
    let both = format!("1:{},2:{}", MASTER_KEYS[0], MASTER_KEYS[1]);
    let new = app_with(&database, &["--master-keys", &both])
        .await
        .unwrap();
    let new = serve(new).await;
    until_ready(&old, 200, "ok").await;
    let platform = armour_client::Client::new(&new, PLATFORM).unwrap();
    let _: serde_json::Value = platform
        .post("/v1/platform/rotations", &json!({ "to_version": 2 }))
        .await
        .unwrap();
    until_ready(&old, 503, "version 2 is active, but not loaded").await;
    until_ready(&new, 200, "ok").await;
}

#[tokio::test]
async fn a_draining_replica_serves_on_and_spreads_the_ends_of_its_streams() {
    const STREAMS: usize = 40;
    let database = database().await;
    let app = app_with(&database, &["--drain-delay-ms", "2000"])
        .await
        .unwrap();
    let (draining, stopping) = (app.draining.clone(), app.stopping.clone());
    let base = serve(app).await;
    let world = World::new(&base, Policy::default()).await;
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let events = world.operator.events("/v1/events", None).await.unwrap();
        streams.push(Box::pin(events));
    }
    let since = Instant::now();
    draining.cancel();
    until_ready(&base, 503, "being stopped").await;
    let pairs = world.operator.get::<serde_json::Value>("/v1/pairs").await;
    assert!(pairs.is_ok(), "calls are served until it stops");
    let ends = streams.into_iter().map(async |mut stream| {
        while stream.next().await.is_some() {}
        since.elapsed()
    });
    let mut ends = futures::future::join_all(ends).await;
    ends.sort();
    assert!(!stopping.is_cancelled());
    // Drawn at random over two seconds, of which the last of forty leaves little. How they
    // are spread is tested where no machine is too busy for it.
    assert!(ends.last() > Some(&Duration::from_secs(1)), "{ends:?}");
}

/// Probes shared a listener with whoever called: with each of its places taken by a call under
/// way, a replica that serves was restarted.
#[tokio::test]
async fn probes_answer_while_the_listener_of_calls_has_no_place_left() {
    let app = app_with(&database().await, &[]).await.unwrap();
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let internal = app.serve_internal(any, Registry::new()).unwrap();
    let listener = armour_listener::bind(any).unwrap();
    let calls = listener.local_addr().unwrap();
    let limits = armour_listener::Limits {
        connections: 4,
        ..Default::default()
    };
    let stop = app.stopping.clone();
    let served = armour_listener::serve(listener, router(app), limits, stop.clone());
    tokio::spawn(async move { served.await.unwrap() });
    // Bodies that do not come.
    let head = b"POST /v1/endpoint/links HTTP/1.1\r\nhost: x\r\n\
        content-type: application/json\r\ncontent-length: 10\r\n\r\n";
    let mut held = Vec::new();
    for _ in 0..limits.connections {
        let mut socket = tokio::net::TcpStream::connect(calls).await.unwrap();
        socket.write_all(head).await.unwrap();
        held.push(socket);
    }
    until("no place for one more", async || {
        reqwest::get(format!("http://{calls}/v1/health"))
            .await
            .err()
    })
    .await;
    for _ in 0..3 {
        for path in ["/v1/health", "/v1/health/ready", "/metrics"] {
            let (status, text) = ask(&format!("http://{internal}{path}")).await;
            assert_eq!(status, 200, "{path}: {text}");
        }
    }
    // Nothing else is there.
    assert_eq!(ask(&format!("http://{internal}/v1/pairs")).await.0, 404);
    // And where calls are served they are as before.
    drop(held);
    until("calls are served again", async || {
        let answer = reqwest::get(format!("http://{calls}/v1/health/ready")).await;
        answer
            .is_ok_and(|answer| answer.status() == 200)
            .then_some(())
    })
    .await;
    stop.cancel();
}
