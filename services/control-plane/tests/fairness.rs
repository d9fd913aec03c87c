//! What one tenant, or nobody at all, can do to another: of connections, of what is looked up, of
//! what grows.

use armour_api::{Heartbeat, Overview, Policy, Quotas, ReportVerdict, Role};
use futures::{StreamExt, future::join_all, stream::FuturesUnordered};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use crate::common::{
    As, PLATFORM, World, app_with, bound, call, database, enrol, replica, replica_with, serve,
    serving, until,
};

/// Each link leased more of the tenant's rate in a second transaction, while it held the first.
#[tokio::test]
async fn h3_agents_links_at_once_do_not_wait_for_each_others_connections() {
    // Two of them are for calls.
    let few = [
        "--database-connections",
        "4",
        "--database-pool-wait-ms",
        "10000",
    ];
    let base = replica_with(&database().await, &few).await;
    let world = World::new(&base, Policy::default()).await;
    let mut agents = Vec::new();
    for _ in 0..6 {
        let agent = enrol(&world.operator, Role::Consumer, world.pair.consumer_id).await;
        agent.start(&base).await;
        agents.push(agent);
    }
    // So few that each of them is leased by itself.
    let quotas = Quotas {
        endpoint_requests: 49,
        ..Quotas::default()
    };
    let url = format!("{base}/v1/tenants/{}/quotas", world.tenant);
    let (status, _, text) = call(As::Bearer(PLATFORM), "PUT", &url, Some(&json!(quotas))).await;
    assert_eq!(status, 200, "{text}");
    // What was leased before ends with its window.
    tokio::time::sleep(std::time::Duration::from_secs(11)).await;
    for _ in 0..3 {
        let beats = agents.iter().map(|agent| {
            let link = agent.sign(armour_protocol::v2::identity::body::LinkBody::Heartbeat(
                serde_json::to_vec(&Heartbeat::default()).unwrap(),
            ));
            let base = &base;
            async move {
                let answer = agent.send(base, &link).await.unwrap();
                assert!(agent.answered(link, &answer).is_none());
            }
        });
        join_all(beats).await;
    }
}

#[tokio::test]
async fn h3_a_call_over_its_tenants_rate_is_refused_without_the_database() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let quotas = Quotas {
        requests: 5,
        ..Quotas::default()
    };
    let set = format!("{base}/v1/tenants/{}/quotas", world.tenant);
    let (status, ..) = call(As::Bearer(PLATFORM), "PUT", &set, Some(&json!(quotas))).await;
    assert_eq!(status, 200);
    let (url, token) = (format!("{base}/v1/pairs"), world.operator_token());
    let reads = async || call(As::Bearer(&token), "GET", &url, None).await;
    // What the replica had leased before is used up first; and the window is not about to end.
    until("a call over the rate, early in its window", async || {
        let (status, headers, _) = reads().await;
        let left = headers.get("retry-after")?.to_str().ok()?.parse::<u32>();
        (status == 429 && left.ok()? >= 8).then_some(())
    })
    .await;
    let mut sql = PgConnection::connect(&database).await.unwrap();
    let gone = "ALTER TABLE api_tokens RENAME TO api_tokens_away";
    sqlx::query(gone).execute(&mut sql).await.unwrap();
    assert_eq!(reads().await.0, 429, "nothing is looked up for it");
    // Nor for one that may repeat another.
    let made = reqwest::Client::new().post(format!("{base}/v1/consumers"));
    let made = made.bearer_auth(&token).header("idempotency-key", "k");
    let made = made.json(&json!({ "name": "cart" })).send().await.unwrap();
    assert_eq!(made.status(), 429);
}

/// Whoever names a tenant has shown nothing yet: what they wait for is not the tenant's.
#[tokio::test]
async fn h3_calls_that_only_name_a_tenant_take_none_of_its_connections() {
    let database = database().await;
    let limits = [
        "--database-connections",
        "8",
        "--database-lock-timeout-ms",
        "20000",
        "--database-pool-wait-ms",
        "5000",
    ];
    let base = replica_with(&database, &limits).await;
    let world = World::new(&base, Policy::default()).await;
    // By now this replica knows the operator and the agents.
    let _: serde_json::Value = world.operator.get("/v1/pairs").await.unwrap();
    world.consumer.heartbeat(&base, vec![]).await;
    let mut holder = bound(&database, world.tenant).await;
    let mut held = holder.begin().await.unwrap();
    sqlx::query("LOCK TABLE issuers IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *held)
        .await
        .unwrap();
    let choices = format!("{base}/v1/auth/choices?tenant={}", world.tenant);
    let mut calls: FuturesUnordered<_> = (0..20)
        .map(|_| call(As::Nobody, "GET", &choices, None))
        .collect();
    let mut watcher = bound(&database, world.tenant).await;
    let known = async {
        until("calls that wait", async || {
            let waits: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock'",
            )
            .fetch_one(&mut watcher)
            .await
            .unwrap();
            (waits > 0).then_some(())
        })
        .await;
        for _ in 0..5 {
            let _: serde_json::Value = world.operator.get("/v1/pairs").await.unwrap();
            world.consumer.heartbeat(&base, vec![]).await;
        }
        held.rollback().await.unwrap();
    };
    let waiting = async { while calls.next().await.is_some() {} };
    tokio::join!(known, waiting);
}

/// The overview added up all lanes that ever were.
#[tokio::test]
async fn m_the_overview_does_not_add_up_what_ever_was() {
    let database = database().await;
    let app = app_with(&database, &[]).await.unwrap();
    let base = serve(app.clone()).await;
    let world = World::new(&base, Policy::default()).await;
    let bundle = world.bundle().await;
    let consumer = world.consumer.client(&base);
    let mut exchanges = 0;
    for lane in 0..3 {
        let evidence = bundle.plain(lane, 4);
        // In two parts.
        for part in [&evidence[..3], &evidence[..]] {
            let verdicts = consumer.report(vec![bundle.report(part)]).await.unwrap();
            assert_eq!(verdicts, [ReportVerdict::Accepted]);
        }
        exchanges += 4;
    }
    let shown = async || -> i64 {
        let overview: Overview = world.operator.get("/v1/overview").await.unwrap();
        overview.exchanges
    };
    assert_eq!(shown().await, exchanges);
    let mut owner = bound(&database, world.tenant).await;
    let added: i64 = sqlx::query_scalar("SELECT sum(head_n + 1)::bigint FROM lanes")
        .fetch_one(&mut owner)
        .await
        .unwrap();
    assert_eq!(added, exchanges);
    // What was recorded before anybody counted is counted once, by a job.
    sqlx::query("DELETE FROM exchange_counts")
        .execute(&mut owner)
        .await
        .unwrap();
    assert_eq!(shown().await, 0);
    for _ in 0..2 {
        let mut tx = app.store.tenant(world.tenant).await.unwrap();
        tx.count_exchanges().await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(shown().await, exchanges);
    }
    // It is not added up from the lanes, but for once more a day later.
    let mut count_on = async |due: bool| {
        sqlx::query("UPDATE lanes SET head_n = head_n + 1000")
            .execute(&mut owner)
            .await
            .unwrap();
        if due {
            sqlx::query("UPDATE exchange_counts SET again_at = again_at - interval '1 day'")
                .execute(&mut owner)
                .await
                .unwrap();
        }
        let mut tx = app.store.tenant(world.tenant).await.unwrap();
        tx.count_exchanges().await.unwrap();
        tx.commit().await.unwrap();
        shown().await
    };
    assert_eq!(count_on(false).await, exchanges);
    let again = count_on(true).await;
    assert!(again > exchanges);
    assert_eq!(count_on(true).await, again);
}

/// Each heartbeat looked at all bundles that were cut within the hour.
#[tokio::test]
async fn m_disconnects_that_are_acknowledged_are_not_looked_at_again() {
    let database = database().await;
    let base = replica_with(&database, &[]).await;
    let world = World::new(&base, Policy::default()).await;
    let mut owner = bound(&database, world.tenant).await;
    let mut obeyed = async || -> i64 {
        let count = sqlx::query_scalar("SELECT count(*) FROM obediences WHERE endpoint_id = $1");
        let count = count.bind(world.consumer.id).fetch_one(&mut owner).await;
        count.unwrap()
    };
    let disconnect = async || {
        let id = world
            .consumer
            .draw(&base, world.pair.id, None)
            .await
            .bundle
            .id;
        let path = format!("/v1/bundles/{id}/disconnect");
        let why = json!({ "reason": "test" });
        let _: serde_json::Value = world.operator.post(&path, &why).await.unwrap();
        id
    };
    let first = disconnect().await;
    // Not while it is still named.
    world.consumer.heartbeat(&base, vec![first]).await;
    assert_eq!(obeyed().await, 0);
    world.consumer.heartbeat(&base, vec![]).await;
    assert_eq!(obeyed().await, 1);
    let mut other = bound(&database, world.tenant).await;
    let until: Option<bool> =
        sqlx::query_scalar("SELECT obeyed_until < now() FROM endpoints WHERE endpoint_id = $1")
            .bind(world.consumer.id)
            .fetch_one(&mut other)
            .await
            .unwrap();
    assert_eq!(until, Some(true));
    // A minute later.
    for statement in [
        "UPDATE endpoints SET obeyed_until = now()",
        "DELETE FROM obediences",
    ] {
        sqlx::query(statement).execute(&mut other).await.unwrap();
    }
    world.consumer.heartbeat(&base, vec![]).await;
    assert_eq!(obeyed().await, 0);
    // What is cut later is looked at.
    disconnect().await;
    world.consumer.heartbeat(&base, vec![]).await;
    assert_eq!(obeyed().await, 1);
}

/// The audit log was read from end to end for entries of one actor, action or target.
#[tokio::test]
async fn m_the_audit_log_is_looked_up_by_actor_action_and_target() {
    let database = database().await;
    let base = replica_with(&database, &[]).await;
    let world = World::new(&base, Policy::default()).await;
    let mut owner = bound(&database, world.tenant).await;
    sqlx::query(
        "INSERT INTO audit_entries (tenant_id, seq, created_at, actor, action, target, detail,
             signature)
         SELECT tenant_id, 1000000 + n, created_at, 'token:' || n % 1000, 'a.' || n % 1000,
             'pair:' || n % 1000, detail, signature
         FROM (SELECT * FROM audit_entries LIMIT 1) one, generate_series(1, 50000) n",
    )
    .execute(&mut owner)
    .await
    .unwrap();
    sqlx::query("ANALYZE audit_entries")
        .execute(&mut owner)
        .await
        .unwrap();
    // As the replica asks, by the role that is bound by row-level security.
    let mut service = bound(&serving(&database), world.tenant).await;
    let tenant = world.tenant;
    for (condition, column) in [
        ("actor = 'token:7'", "actor = "),
        (
            "action COLLATE \"C\" >= 'a.777' AND action COLLATE \"C\" < 'a.777\u{10ffff}'",
            "(action)::text >= ",
        ),
        ("target = 'pair:7'", "target = "),
    ] {
        let explained = format!(
            "EXPLAIN SELECT seq, actor, action, target, detail, created_at FROM audit_entries
             WHERE tenant_id = '{tenant}' AND {condition} ORDER BY seq DESC LIMIT 101"
        );
        let plan: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(explained))
            .fetch_all(&mut service)
            .await
            .unwrap();
        let by_index = plan.iter().any(|line| {
            let line = line.replace("(action)::text", "action");
            let column = column.replace("(action)::text", "action");
            line.contains("Index Cond") && line.contains(&column)
        });
        assert!(by_index, "{plan:#?}");
        assert!(
            !plan.iter().any(|line| line.contains("Seq Scan on")
                && !line.contains("cost=0.00..0.00")
                && line.contains("rows=50")),
            "{plan:#?}"
        );
    }
    let found: serde_json::Value = world
        .operator
        .get("/v1/audit?action=a.77&target=pair:77")
        .await
        .unwrap();
    assert_eq!(found["items"].as_array().map(Vec::len), Some(50));
}
