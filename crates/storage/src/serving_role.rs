//! The role that serves: what it must not be able to do, and whether row-level security is as
//! the migrations define it.

use crate::{error::Result, store::Store, tx::Tx};

/// Policies besides [`OWN_ROWS`]: the platform sees that tenants exist, and that work waits.
const OF_THE_PLATFORM: [&str; 2] = ["tenants", "work_hints"];
/// What each table's rows are let through by, as PostgreSQL writes it.
const OWN_ROWS: &str = "(tenant_id = armour_tenant())";
const PLATFORM: &str = "armour_platform()";
/// What both are by definition.
const FUNCTIONS: [(&str, &str); 2] = [
    (
        "armour_tenant",
        "SELECT nullif(current_setting('armour.tenant', true), '')::uuid",
    ),
    (
        "armour_platform",
        "SELECT coalesce(current_setting('armour.platform', true), '') = 'on'",
    ),
];

impl Store {
    /// What the role in use could do to the tenants' isolation; it may serve if that is nothing.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn role_faults(&self) -> Result<Vec<String>> {
        role_faults(&mut self.platform().await?).await
    }

    /// What of row-level security is not as the migrations define it.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn policy_faults(&self) -> Result<Vec<String>> {
        policy_faults(&mut self.platform().await?).await
    }
}

async fn role_faults(tx: &mut Tx) -> Result<Vec<String>> {
    // What a role is a member of it can become.
    let role = sqlx::query!(
        r#"SELECT current_user::text AS "name!",
                  rolcreaterole AS "creates_roles!",
                  has_schema_privilege(current_schema(), 'CREATE') AS "creates!",
                  (SELECT pg_has_role(datdba, 'MEMBER') FROM pg_database
                   WHERE datname = current_database()) AS "owns_database!",
                  ARRAY(SELECT r.rolname::text FROM pg_roles r
                        WHERE (r.rolsuper OR r.rolbypassrls OR r.rolname IN
                                ('pg_execute_server_program', 'pg_write_server_files',
                                 'pg_read_server_files'))
                          AND pg_has_role(r.oid, 'MEMBER')) AS "above!",
                  ARRAY(SELECT c.relname::text FROM pg_class c
                        WHERE c.relnamespace = current_schema()::regnamespace
                          AND pg_has_role(c.relowner, 'MEMBER')
                        UNION ALL
                        SELECT p.proname::text FROM pg_proc p
                        WHERE p.pronamespace = current_schema()::regnamespace
                          AND pg_has_role(p.proowner, 'MEMBER')
                        ORDER BY 1) AS "owned!",
                  ARRAY(SELECT c.relname::text FROM pg_class c
                        WHERE c.relnamespace = current_schema()::regnamespace
                          AND c.relkind IN ('r', 'p')
                          AND has_table_privilege(c.oid, 'TRUNCATE, TRIGGER')
                        ORDER BY 1) AS "beyond!"
           FROM pg_roles WHERE rolname = current_user"#
    )
    .fetch_one(&mut *tx.inner)
    .await?;
    let name = role.name;
    if !role.above.is_empty() {
        // It can do everything below as well.
        return Ok(vec![format!(
            "the role {name} must not be a superuser nor bypass row-level security, nor be \
             able to become who does (by {})",
            role.above.join(", ")
        )]);
    }
    let mut faults = Vec::new();
    if role.creates_roles {
        faults.push(format!("the role {name} may create roles (CREATEROLE)"));
    }
    if role.owns_database {
        faults.push(format!("the role {name} owns the database"));
    }
    if !role.owned.is_empty() {
        faults.push(format!("the role {name} owns {}", few(&role.owned)));
    }
    if role.creates {
        faults.push(format!("the role {name} may create tables in the schema"));
    }
    if role.owned.is_empty() && !role.beyond.is_empty() {
        let tables = few(&role.beyond);
        faults.push(format!(
            "the role {name} may truncate {tables}, or put triggers on it"
        ));
    }
    Ok(faults)
}

async fn policy_faults(tx: &mut Tx) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    let tables = sqlx::query!(
        r#"SELECT c.relname::text AS "name!",
                  (c.relrowsecurity AND c.relforcerowsecurity) AS "forced!",
                  EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid
                          AND p.polname = 'tenant_only' AND p.polpermissive
                          AND p.polcmd = '*' AND p.polroles = '{0}'
                          AND pg_get_expr(p.polqual, c.oid) = $1
                          AND pg_get_expr(p.polwithcheck, c.oid) = $1) AS "own_rows!",
                  ARRAY(SELECT p.polname::text FROM pg_policy p
                        WHERE p.polrelid = c.oid AND p.polpermissive
                          AND p.polname <> 'tenant_only'
                          AND NOT (p.polname = 'platform' AND c.relname = ANY ($3)
                                   AND pg_get_expr(p.polqual, c.oid) = $2
                                   AND pg_get_expr(p.polwithcheck, c.oid) = $2)
                        ORDER BY 1) AS "others!"
           FROM pg_class c
           WHERE c.relnamespace = current_schema()::regnamespace
             AND c.relkind IN ('r', 'p')
             AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid
                         AND a.attname = 'tenant_id' AND NOT a.attisdropped)
           ORDER BY 1"#,
        OWN_ROWS,
        PLATFORM,
        &OF_THE_PLATFORM.map(str::to_owned)
    )
    .fetch_all(&mut *tx.inner)
    .await?;
    for table in tables {
        let name = table.name;
        if !table.forced {
            faults.push(format!("row-level security of {name} is not forced"));
        }
        if !table.own_rows {
            faults.push(format!(
                "the policy tenant_only of {name} is missing or is not the migrations'"
            ));
        }
        if !table.others.is_empty() {
            let policies = few(&table.others);
            faults.push(format!(
                "{name} has policies that no migration made: {policies}"
            ));
        }
    }
    for (name, body) in FUNCTIONS {
        let is_so = sqlx::query_scalar!(
            r#"SELECT coalesce(bool_and(trim(prosrc) = $2 AND NOT prosecdef
                                        AND proconfig IS NULL), false) AS "is_so!"
               FROM pg_proc WHERE proname = $1
                 AND pronamespace = current_schema()::regnamespace"#,
            name,
            body
        )
        .fetch_one(&mut *tx.inner)
        .await?;
        if !is_so {
            faults.push(format!("the function {name}() is not the migrations'"));
        }
    }
    Ok(faults)
}

/// Some of many names.
fn few(names: &[String]) -> String {
    match names {
        [first, second, third, rest @ ..] if !rest.is_empty() => {
            format!("{first}, {second}, {third} and {} more", rest.len())
        }
        _ => names.join(", "),
    }
}
