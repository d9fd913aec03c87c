//! PostgreSQL as people run it: what a call may take of it, and what is said when it does not
//! serve.

use std::sync::atomic::AtomicBool;

use armour_api::{Policy, Quotas};
use futures::{StreamExt, stream::FuturesUnordered};
use serde_json::json;
use sqlx::Connection as _;

use crate::common::{
    As, PLATFORM, World, app_with, bound, call, database, hold, replica, replica_with, serving,
    until, wait_for,
};

#[tokio::test]
async fn m5_a_tenants_calls_that_wait_take_no_other_tenants_connections() {
    let database = database().await;
    let limits = [
        "--database-connections",
        "8",
        "--database-lock-timeout-ms",
        "2000",
        "--database-pool-wait-ms",
        "1000",
    ];
    let base = replica_with(&database, &limits).await;
    let one = World::new(&base, Policy::default()).await;
    let other = World::new(&base, Policy::default()).await;
    let mut watcher = bound(&database, one.tenant).await;
    let mut holder = bound(&database, one.tenant).await;
    let mut held = holder.begin().await.unwrap();
    hold(&mut held, "pairs WHERE pair_id", one.pair.id).await;
    let token = one.operator_token();
    let url = format!("{base}/v1/pairs/{}/disconnect", one.pair.id);
    let why = json!({ "reason": "test" });
    let disconnect = || call(As::Bearer(&token), "POST", &url, Some(&why));
    let mut calls: FuturesUnordered<_> = (0..30).map(|_| disconnect()).collect();
    let over = AtomicBool::new(false);
    let others = async {
        wait_for(&mut watcher, 2, &over).await;
        // While they wait everybody else is served.
        for _ in 0..10 {
            other
                .operator
                .get::<serde_json::Value>("/v1/pairs")
                .await
                .unwrap();
            let ready = reqwest::get(format!("{base}/v1/health/ready"))
                .await
                .unwrap();
            assert_eq!(ready.status(), 200, "{}", ready.text().await.unwrap());
        }
    };
    let waiting = async {
        while let Some((status, headers, text)) = calls.next().await {
            assert_eq!(status, 503, "{text}");
            assert!(text.contains("urn:armour:problem:database-busy"), "{text}");
            assert!(headers.contains_key("retry-after"));
            assert!(!text.contains("cannot be reached"), "{text}");
        }
    };
    tokio::join!(others, waiting);
    // Nothing of them has happened, and the next one does.
    held.rollback().await.unwrap();
    let (status, _, text) = disconnect().await;
    assert_eq!(status, 200, "{text}");
}

#[tokio::test]
async fn m5_a_statement_that_takes_too_long_is_ended_and_told_so() {
    let database = database().await;
    let limit = ["--database-statement-timeout-ms", "3000"];
    let base = replica_with(&database, &limit).await;
    let world = World::new(&base, Policy::default()).await;
    let mut holder = bound(&database, world.tenant).await;
    let mut held = holder.begin().await.unwrap();
    hold(&mut held, "pairs WHERE pair_id", world.pair.id).await;
    let url = format!("{base}/v1/pairs/{}/disconnect", world.pair.id);
    let token = world.operator_token();
    let why = json!({ "reason": "test" });
    let (status, _, text) = call(As::Bearer(&token), "POST", &url, Some(&why)).await;
    assert!(status == 503 && text.contains("database-busy"), "{text}");
}

/// Reports hold their bundles' retirements off by an advisory lock, which had no end.
#[tokio::test]
async fn m5_a_report_does_not_wait_without_an_end_for_its_bundles_retirement() {
    let database = database().await;
    let base = replica_with(&database, &["--database-lock-timeout-ms", "1000"]).await;
    let world = World::new(&base, Policy::default()).await;
    let bundle = world.bundle().await;
    let mut holder = bound(&database, world.tenant).await;
    let mut held = holder.begin().await.unwrap();
    let space = i32::from_be_bytes(*world.tenant.as_bytes().last_chunk().unwrap());
    let slots = "SELECT pg_advisory_xact_lock($1, slot) FROM generate_series(0, 63) AS slot";
    sqlx::query(slots)
        .bind(space)
        .execute(&mut *held)
        .await
        .unwrap();
    let evidence = bundle.plain(0, 1);
    let report = vec![bundle.report(&evidence)];
    let refused = world.consumer.client(&base).report(report.clone()).await;
    assert!(refused.unwrap_err().is("database-busy"));
    held.rollback().await.unwrap();
    world.consumer.client(&base).report(report).await.unwrap();
}

#[tokio::test]
async fn m5_what_is_over_the_rate_writes_no_proof() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let quotas = Quotas {
        endpoint_requests: 5,
        ..Quotas::default()
    };
    let url = format!("{base}/v1/tenants/{}/quotas", world.tenant);
    let (status, _, text) = call(As::Bearer(PLATFORM), "PUT", &url, Some(&json!(quotas))).await;
    assert_eq!(status, 200, "{text}");
    let mut connection = bound(&database, world.tenant).await;
    let mut spent = async || -> i64 {
        let count = "SELECT count(*) FROM spent_proofs";
        sqlx::query_scalar(count)
            .fetch_one(&mut connection)
            .await
            .unwrap()
    };
    let token = world.consumer.access_token(&base).await;
    let url = format!("{base}/v1/endpoint");
    let http = reqwest::Client::new();
    let ask = async || {
        let proof = world.consumer.proof("GET", &url, Some(&token));
        let asked = http.get(&url).header("dpop", proof);
        let asked = asked.header("authorization", format!("DPoP {token}"));
        asked.send().await.unwrap().status().as_u16()
    };
    // The window may end meanwhile; then once more.
    until("calls over the rate", async || {
        let before = spent().await;
        let mut answers = Vec::new();
        for _ in 0..20 {
            answers.push(ask().await);
        }
        let served = answers.iter().filter(|status| **status == 200).count();
        let refused = answers.iter().filter(|status| **status == 429).count();
        assert_eq!(served + refused, answers.len(), "{answers:?}");
        let written = usize::try_from(spent().await - before).unwrap();
        assert_eq!(written, served, "{answers:?}");
        (refused > 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn m5_connections_are_named_by_what_they_are_for() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let mut watcher = bound(&database, world.tenant).await;
    for name in [
        "armour calls",
        "armour jobs",
        "armour events",
        "armour announcements",
    ] {
        until(name, async || {
            let asked = "SELECT EXISTS (SELECT FROM pg_stat_activity
                         WHERE datname = current_database() AND application_name = $1)";
            let is_there: bool = sqlx::query_scalar(asked)
                .bind(name)
                .fetch_one(&mut watcher)
                .await
                .unwrap();
            is_there.then_some(())
        })
        .await;
    }
}

/// Why a replica is not started that waits for nothing.
async fn refused(url: &str, more: &[&str]) -> String {
    let mut options = vec!["--database-wait-s", "0"];
    options.extend(more);
    let refused = app_with(url, &options).await.map(drop);
    format!("{:#}", refused.expect_err("it was started"))
}

#[tokio::test]
async fn a_database_that_cannot_serve_is_named_with_what_to_do() {
    let owner = database().await;
    let (server, name) = owner.rsplit_once('/').unwrap();
    let superuser = server.replacen("//armour@", "//postgres@", 1);
    let mut session = sqlx::PgConnection::connect(&format!("{superuser}/postgres"))
        .await
        .unwrap();
    let latin = format!("latin_{name}");
    for statement in [
        format!(
            "CREATE DATABASE {latin} OWNER armour ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'
             TEMPLATE template0"
        ),
        format!("CREATE ROLE few_{name} LOGIN CONNECTION LIMIT 0"),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .execute(&mut session)
            .await
            .unwrap();
    }
    let serving = serving(server);
    for (url, says) in [
        // Nobody listens there.
        (
            "postgres://nobody:geheim@127.0.0.1:1/armour".to_owned(),
            vec![
                "127.0.0.1:1, database armour, role nobody",
                "refused",
                "check host and port",
            ],
        ),
        (
            format!("{serving}/none_such"),
            vec![
                "database none_such",
                "does not exist",
                "create the database",
            ],
        ),
        (
            format!("{serving}/{latin}"),
            vec!["LATIN1", "ENCODING 'UTF8'"],
        ),
        (
            owner.replacen("//armour@", &format!("//few_{name}@"), 1),
            vec!["too many connections", "--database-connections"],
        ),
        (
            "postgres://r:geheim@one,two/d".to_owned(),
            vec!["--database-url", "several hosts (one,two)"],
        ),
    ] {
        let said = refused(&url, &[]).await;
        for part in says {
            assert!(said.contains(part), "{url}: {said}");
        }
        assert!(!said.contains("geheim"), "{said}");
    }
}

#[tokio::test]
async fn a_socket_and_an_address_of_version_6_serve() {
    let owner = database().await;
    let superuser = owner.replacen("//armour@", "//postgres@", 1);
    let mut session = sqlx::PgConnection::connect(&superuser).await.unwrap();
    let (folder, port): (String, String) = sqlx::query_as(
        "SELECT current_setting('unix_socket_directories'), current_setting('port')",
    )
    .fetch_one(&mut session)
    .await
    .unwrap();
    replica(&owner).await;
    let name = owner.rsplit_once('/').unwrap().1;
    let socket = format!("postgres:///{name}?host={folder}&port={port}&user=armour_service");
    let mut urls = vec![socket];
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        urls.push(format!("postgres://armour_service@[::1]:{port}/{name}"));
    } else {
        eprintln!("NOT TRIED: this machine has no IPv6");
    }
    for url in urls {
        let base = replica(&url).await;
        World::new(&base, Policy::default()).await;
    }
}
