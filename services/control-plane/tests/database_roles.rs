//! The role that serves can change nothing of who sees what, and is looked at when it starts.

use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::common::{app_with, database, replica, serving};

/// A session of this role.
async fn session(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

fn superuser(owner: &str) -> String {
    owner.replacen("//armour@", "//postgres@", 1)
}

/// Runs statements, each in a transaction of its own.
async fn run(url: &str, statements: &[&str]) {
    let mut session = session(url).await;
    for statement in statements {
        let statement = sqlx::AssertSqlSafe(statement.to_string());
        session.execute(statement).await.unwrap();
    }
}

/// Why a replica is not started.
async fn refused(url: &str) -> String {
    let refused = app_with(url, &[]).await.map(drop);
    format!("{:#}", refused.expect_err("it was started"))
}

#[tokio::test]
async fn m9_the_role_that_serves_owns_nothing_and_changes_no_policy() {
    let owner = database().await;
    replica(&owner).await;
    let mut service = session(&serving(&owner)).await;
    for statement in [
        "DROP POLICY tenant_only ON pairs",
        "ALTER POLICY tenant_only ON pairs USING (true)",
        "CREATE POLICY more ON pairs USING (true)",
        "ALTER TABLE pairs NO FORCE ROW LEVEL SECURITY",
        "ALTER TABLE pairs DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE pairs ADD COLUMN note text",
        "ALTER TABLE pairs OWNER TO armour_service",
        "CREATE TABLE mine (n integer)",
        "CREATE FUNCTION mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE OR REPLACE FUNCTION armour_tenant() RETURNS uuid LANGUAGE sql AS 'SELECT NULL'",
        "CREATE SCHEMA mine",
        "DROP TABLE pairs",
        "TRUNCATE pairs",
        "UPDATE audit_entries SET action = 'another'",
        "DELETE FROM audit_entries",
        "UPDATE _sqlx_migrations SET success = false",
        "SET ROLE armour",
    ] {
        let error = service.execute(statement).await.expect_err(statement);
        let code = error.as_database_error().and_then(|error| error.code());
        assert_eq!(code.as_deref(), Some("42501"), "{statement}: {error}");
    }
    // A partition by its own name would be a way around what its table allows.
    let partition: String = sqlx::query_scalar(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'audit_entries'::regclass",
    )
    .fetch_one(&mut service)
    .await
    .unwrap();
    let directly = sqlx::AssertSqlSafe(format!("SELECT FROM {partition}"));
    assert!(service.execute(directly).await.is_err());
}

#[tokio::test]
async fn m9_the_role_that_serves_makes_partitions_of_the_audit_log_and_nothing_else() {
    let owner = database().await;
    replica(&owner).await;
    let mut service = session(&serving(&owner)).await;
    // Whatever it puts in the way.
    for statement in [
        "CREATE TEMP TABLE audit_entries (created_at timestamptz) PARTITION BY RANGE (created_at)",
        "SET search_path = pg_temp, public",
        "SELECT public.armour_audit_partition((current_date + interval '5 months')::date)",
    ] {
        service.execute(statement).await.unwrap();
    }
    let made: (i64, bool, String) = sqlx::query_as(
        "SELECT count(*), bool_and(relrowsecurity AND relforcerowsecurity),
                min(pg_get_userbyid(relowner))
         FROM pg_inherits JOIN pg_class ON oid = inhrelid
         WHERE inhparent = 'public.audit_entries'::regclass",
    )
    .fetch_one(&mut service)
    .await
    .unwrap();
    // Three that a replica makes when it starts.
    assert_eq!(made, (4, true, "armour".into()));
    for statement in [
        "SELECT public.armour_audit_partition('2999-01-01')",
        "SELECT public.armour_audit_partition('0001-01-01')",
        "SELECT public.armour_audit_retain('2999-01-01')",
    ] {
        assert!(service.execute(statement).await.is_err(), "{statement}");
    }
    // Nobody else may have it done.
    let roles = superuser(&owner);
    let name = owner.rsplit_once('/').unwrap().1;
    let stranger = format!("stranger_{name}");
    run(&roles, &[&format!("CREATE ROLE {stranger} LOGIN")]).await;
    let mut other = session(&owner.replacen("//armour@", &format!("//{stranger}@"), 1)).await;
    let asked = other.execute("SELECT armour_audit_partition(current_date)");
    assert!(asked.await.is_err());
}

#[tokio::test]
async fn m9_a_role_that_owns_or_could_own_is_refused_at_the_start() {
    let owner = database().await;
    replica(&owner).await;
    let name = owner.rsplit_once('/').unwrap().1;
    let roles = superuser(&owner);
    let role = format!("role_{name}");
    let url = owner.replacen("//armour@", &format!("//{role}@"), 1);
    // The owner itself, as which nothing is migrated here.
    let said = refused(&owner.replacen("//armour@", "//armour:@", 1)).await;
    assert!(
        said.contains("owns the database") && said.contains("owns "),
        "{said}"
    );
    let said = refused(&roles).await;
    assert!(said.contains("must not be a superuser"), "{said}");
    run(&roles, &[&format!("CREATE ROLE {role} LOGIN")]).await;
    for (give, take, says) in [
        (
            format!("GRANT armour TO {role}"),
            format!("REVOKE armour FROM {role}"),
            "owns the database",
        ),
        (
            format!("ALTER ROLE {role} BYPASSRLS"),
            format!("ALTER ROLE {role} NOBYPASSRLS"),
            "bypass row-level security",
        ),
        (
            format!("ALTER ROLE {role} CREATEROLE"),
            format!("ALTER ROLE {role} NOCREATEROLE"),
            "CREATEROLE",
        ),
        (
            format!("GRANT pg_execute_server_program TO {role}"),
            format!("REVOKE pg_execute_server_program FROM {role}"),
            "pg_execute_server_program",
        ),
        (
            format!("GRANT CREATE ON SCHEMA public TO {role}"),
            format!("REVOKE CREATE ON SCHEMA public FROM {role}"),
            "may create tables",
        ),
        (
            format!("GRANT TRUNCATE ON pairs TO {role}"),
            format!("REVOKE TRUNCATE ON pairs FROM {role}"),
            "may truncate pairs",
        ),
    ] {
        run(&roles, &[&give]).await;
        let said = refused(&url).await;
        assert!(said.contains(says), "{give}: {said}");
        assert!(said.contains("--database-owner-url"), "{said}");
        run(&roles, &[&take]).await;
    }
    // With nothing of that it lacks the rights that migrating gives.
    let said = format!(
        "{:#}",
        app_with(&url, &["--database-wait-s", "1"])
            .await
            .map(drop)
            .unwrap_err()
    );
    assert!(said.contains("--migrate"), "{said}");
}

#[tokio::test]
async fn m9_policies_that_are_not_the_migrations_are_found_at_the_start() {
    let owner = database().await;
    replica(&owner).await;
    for (change, undo, says) in [
        (
            "ALTER TABLE pairs NO FORCE ROW LEVEL SECURITY",
            "ALTER TABLE pairs FORCE ROW LEVEL SECURITY",
            "row-level security of pairs is not forced",
        ),
        (
            "ALTER POLICY tenant_only ON lanes USING (true)",
            "ALTER POLICY tenant_only ON lanes USING (tenant_id = armour_tenant())",
            "the policy tenant_only of lanes",
        ),
        (
            "ALTER POLICY tenant_only ON lanes WITH CHECK (true)",
            "ALTER POLICY tenant_only ON lanes WITH CHECK (tenant_id = armour_tenant())",
            "the policy tenant_only of lanes",
        ),
        (
            "CREATE POLICY everybody ON secrets USING (true)",
            "DROP POLICY everybody ON secrets",
            "secrets has policies that no migration made: everybody",
        ),
        (
            "CREATE POLICY platform ON secrets USING (armour_platform())",
            "DROP POLICY platform ON secrets",
            "secrets has policies",
        ),
        (
            "CREATE OR REPLACE FUNCTION armour_platform() RETURNS boolean LANGUAGE sql STABLE
             PARALLEL SAFE AS $$ SELECT true $$",
            "CREATE OR REPLACE FUNCTION armour_platform() RETURNS boolean LANGUAGE sql STABLE
             PARALLEL SAFE AS $$ SELECT coalesce(current_setting('armour.platform', true), '') = 'on' $$",
            "the function armour_platform()",
        ),
    ] {
        run(&owner, &[change]).await;
        let said = refused(&owner).await;
        assert!(said.contains(says), "{change}: {said}");
        run(&owner, &[undo]).await;
    }
    app_with(&owner, &[]).await.map(drop).unwrap();
}
