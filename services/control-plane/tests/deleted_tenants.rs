//! What is left of a tenant that was deleted: nobody gets in, and nobody is named.

use armour_api::{Policy, Role};
use serde_json::json;
use sqlx::{AssertSqlSafe, PgConnection, Row};

use crate::common::{
    As, PLATFORM, World, bound, call, database, enrol_with,
    issuer::{Browser, TestIssuer},
    replica, replica_with, until,
};

async fn delete(world: &World) {
    let url = format!("{}/v1/tenants/{}", world.base, world.tenant);
    let (status, _, text) = call(As::Bearer(PLATFORM), "DELETE", &url, None).await;
    assert_eq!(status, 204, "{text}");
}

async fn sql(connection: &mut PgConnection, statement: &str) {
    sqlx::query(AssertSqlSafe(statement.to_owned()))
        .execute(connection)
        .await
        .unwrap();
}

/// A person who has signed in.
async fn signed_in(world: &World) -> (Browser, uuid::Uuid) {
    let issuer = TestIssuer::start().await;
    let id = issuer.trusted_by(&world.operator, "groups").await;
    let mut browser = Browser::default();
    let begun = browser.login(&world.base, world.tenant, id).await;
    let code = issuer.code(&begun.nonce);
    let answer = [("state", &begun.state[..]), ("code", &code)];
    assert_eq!(browser.answer(&begun.redirect_uri, &answer).await.0, 303);
    assert!(browser.is_signed_in(&world.base).await);
    (browser, id)
}

/// A credential that is committed while its tenant is deleted is not among those that end with it.
#[tokio::test]
async fn m7_nobody_of_a_deleted_tenant_gets_in_by_a_credential_that_was_made_meanwhile() {
    let database = database().await;
    let inside = ["--egress-allow-issuers", "127.0.0.0/8"];
    let base = replica_with(&database, &inside).await;
    let world = World::new(&base, Policy::default()).await;
    let (mut browser, issuer) = signed_in(&world).await;
    let enrolment = world
        .operator
        .create_enrolment_token(Role::Consumer, world.pair.consumer_id)
        .await
        .unwrap();
    let access = world.consumer.access_token(&base).await;
    delete(&world).await;
    let mut connection = bound(&database, world.tenant).await;
    for statement in [
        "UPDATE api_tokens SET revoked_at = NULL",
        "UPDATE sessions SET ended_at = NULL",
        "UPDATE endpoints SET state = 'active'",
        "UPDATE endpoint_starts SET ended_at = NULL",
        "UPDATE enrolment_tokens SET expires_at = now() + interval '1 hour'",
    ] {
        sql(&mut connection, statement).await;
    }
    let token = world.operator_token();
    let pairs = format!("{base}/v1/pairs");
    assert_eq!(call(As::Bearer(&token), "GET", &pairs, None).await.0, 401);
    assert!(!browser.is_signed_in(&base).await);
    let url = format!("{base}/v1/endpoint");
    let proof = world.consumer.proof("GET", &url, Some(&access));
    let asked = reqwest::Client::new().get(&url).header("dpop", proof);
    let asked = asked.header("authorization", format!("DPoP {access}"));
    assert_eq!(asked.send().await.unwrap().status(), 403);
    let client = world.operator.with_token(enrolment.token);
    let refused = enrol_with(&client, Role::Consumer).await.map(drop);
    assert!(refused.unwrap_err().is("unauthenticated"));
    // Nor does anybody sign in.
    let url = format!("{base}/v1/auth/choices?tenant={}", world.tenant);
    assert_eq!(call(As::Nobody, "GET", &url, None).await.2, "[]");
    let (status, _) = browser
        .login_from("same-origin", &base, world.tenant, issuer)
        .await;
    assert_eq!(status, 404);
}

/// Every table that holds a text of the tenant's, but for its audit log.
async fn naming(connection: &mut PgConnection, text: &str) -> Vec<String> {
    let tables = sqlx::query(
        "SELECT DISTINCT c.table_name FROM information_schema.columns c
         JOIN information_schema.tables t USING (table_schema, table_name)
         WHERE c.table_schema = current_schema() AND c.column_name = 'tenant_id'
           AND t.table_type = 'BASE TABLE' AND c.table_name NOT LIKE 'audit\\_entries%'",
    )
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    let mut found = Vec::new();
    for table in tables {
        let table: String = table.get(0);
        let asked = format!("SELECT count(*) FROM {table} AS t WHERE t::text LIKE $1");
        let rows: i64 = sqlx::query_scalar(AssertSqlSafe(asked))
            .bind(format!("%{text}%"))
            .fetch_one(&mut *connection)
            .await
            .unwrap();
        if rows > 0 {
            found.push(table);
        }
    }
    found
}

/// Sweeps passed deleted tenants over.
#[tokio::test]
async fn m7_names_subjects_and_browsers_of_a_deleted_tenant_are_forgotten() {
    let database = database().await;
    let inside = ["--egress-allow-issuers", "127.0.0.0/8"];
    let base = replica_with(&database, &inside).await;
    let [world, other] = [
        World::new(&base, Policy::default()).await,
        World::new(&base, Policy::default()).await,
    ];
    signed_in(&world).await;
    world.bundle().await;
    let rule = json!({ "name": "a-nameable-token", "role": "auditor" });
    world
        .operator
        .post::<serde_json::Value>("/v1/api-tokens", &rule)
        .await
        .unwrap();
    let mut connection = bound(&database, world.tenant).await;
    sql(
        &mut connection,
        "UPDATE sessions SET user_agent = 'a-nameable-browser'",
    )
    .await;
    let names = ["shop", "stock", "somebody", "nameable", "http://127."];
    for name in names {
        assert_ne!(naming(&mut connection, name).await, [""; 0], "{name}");
    }
    delete(&world).await;
    // The next sweep, of a replica that starts, is not waited for.
    let mut platform = bound(&database, armour_storage::PLATFORM).await;
    sql(&mut platform, "DELETE FROM turns WHERE name = 'upkeep'").await;
    replica(&database).await;
    let known = format!("deleted {}", world.tenant);
    until("the tenant's name to be forgotten", async || {
        let name: String = sqlx::query_scalar("SELECT name FROM tenants")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        (name == known).then_some(())
    })
    .await;
    for name in names {
        assert_eq!(naming(&mut connection, name).await, [""; 0], "{name}");
    }
    // Its log says what was done, as long as it is kept; nobody else's names go.
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM audit_entries")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert!(kept > 0);
    let mut connection = bound(&database, other.tenant).await;
    assert_ne!(naming(&mut connection, "shop").await, [""; 0]);
    let there = other.operator.endpoints().every().await.unwrap();
    assert_eq!(there.len(), 2);
}
