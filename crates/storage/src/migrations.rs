//! The migrations that this program needs. The role that owns the database applies them, and
//! grants the role that serves what it needs of them.

use std::time::Duration;

use sqlx::{PgConnection, migrate::Migrate as _};
use tokio::time::Instant;

use crate::{
    connections::Server,
    error::{Result, StorageError},
    store::Store,
};

/// Applies the migrations that are missing, as the role that owns the database, and grants the
/// role that serves what it needs. Of several that migrate at once one does, and the others wait.
///
/// # Errors
/// If that takes longer than `wait`, one of them fails or an applied one was changed, or the
/// owner may not do it.
pub async fn migrate(owner: &Server, serving: &str, wait: Duration) -> Result<()> {
    if owner.role() == serving {
        return Err(StorageError::Migration(format!(
            "the role {serving} serves, and must not own the database: give \
             --database-owner-url for another one"
        )));
    }
    let deadline = Instant::now() + wait;
    let mut connection = owner.connect("armour migrations").await?;
    let migrated = apply(&mut connection, serving, deadline).await;
    // Its lock goes with it.
    drop(connection);
    migrated
}

async fn apply(connection: &mut PgConnection, serving: &str, deadline: Instant) -> Result<()> {
    let bound = sqlx::query_scalar!(
        r#"SELECT NOT (rolsuper OR rolbypassrls) AS "bound!" FROM pg_roles
           WHERE rolname = current_user"#
    )
    .fetch_one(&mut *connection)
    .await?;
    if !bound {
        return Err(StorageError::Migration(
            "the role that owns the database must not be a superuser nor bypass row-level security"
                .into(),
        ));
    }
    // Whoever waits for a table's lock has all calls to that table wait behind it.
    sqlx::query("SET lock_timeout = '3s'")
        .execute(&mut *connection)
        .await?;
    again(deadline, "another migration is under way", async || {
        connection.lock().await
    })
    .await?;
    again(
        deadline,
        "a table that a migration changes is in use",
        async || MIGRATIONS.run_direct(None, &mut *connection, false).await,
    )
    .await?;
    grant(connection, serving).await
}

/// Tries again what did not get its lock.
async fn again(
    deadline: Instant,
    why: &str,
    mut attempt: impl AsyncFnMut() -> std::result::Result<(), sqlx::migrate::MigrateError>,
) -> Result<()> {
    loop {
        match attempt().await {
            Err(error) if is_lock_timeout(&error) => {
                if Instant::now() >= deadline {
                    return Err(StorageError::Migration(format!("{why}, for too long")));
                }
                tracing::warn!("{why}; waiting");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            done => return done.map_err(StorageError::migration),
        }
    }
}

fn is_lock_timeout(error: &sqlx::migrate::MigrateError) -> bool {
    use sqlx::migrate::MigrateError::{Execute, ExecuteMigration};
    match error {
        Execute(error) | ExecuteMigration(error, _) => error
            .as_database_error()
            .is_some_and(|error| error.code().as_deref() == Some("55P03")),
        _ => false,
    }
}

/// Rows of each table, to read and write; of the audit log only to add. Partitions are reached
/// by their table alone.
async fn grant(connection: &mut PgConnection, serving: &str) -> Result<()> {
    sqlx::query!(
        "SELECT set_config('armour.serving_role', $1, false)",
        serving
    )
    .fetch_one(&mut *connection)
    .await?;
    sqlx::query(
        r#"DO $$
        DECLARE
            role text := current_setting('armour.serving_role');
            item record;
        BEGIN
            IF to_regrole(quote_ident(role)) IS NULL THEN
                RAISE EXCEPTION 'there is no role %: CREATE ROLE % LOGIN', role, quote_ident(role);
            END IF;
            IF NOT has_schema_privilege(role, current_schema(), 'USAGE') THEN
                EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), role);
            END IF;
            FOR item IN SELECT relname, relispartition FROM pg_class
                WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
                  AND pg_has_role(relowner, 'USAGE')
            LOOP
                EXECUTE format('REVOKE ALL ON %I FROM %I', item.relname, role);
                CONTINUE WHEN item.relispartition;
                EXECUTE format('GRANT %s ON %I TO %I',
                    CASE item.relname
                        WHEN '_sqlx_migrations' THEN 'SELECT'
                        WHEN 'audit_entries' THEN 'SELECT, INSERT'
                        ELSE 'SELECT, INSERT, UPDATE, DELETE'
                    END, item.relname, role);
            END LOOP;
            EXECUTE format('GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA %I TO %I',
                current_schema(), role);
            EXECUTE format('GRANT EXECUTE ON FUNCTION armour_audit_partition(date), '
                'armour_audit_retain(date) TO %I', role);
        END $$"#,
    )
    .execute(&mut *connection)
    .await
    .map_err(|error| StorageError::Migration(format!("grant to {serving}: {error}")))?;
    Ok(())
}

impl Store {
    /// Numbers of the migrations that this program needs and the database lacks;
    /// later ones than it knows do it no harm.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn missing_migrations(&self) -> Result<Vec<i64>> {
        let mut tx = self.platform().await?;
        let exists = sqlx::query_scalar!(
            r#"SELECT coalesce(has_table_privilege(to_regclass('_sqlx_migrations'), 'SELECT'),
                               false) AS "exists!""#
        )
        .fetch_one(&mut *tx.inner)
        .await?;
        let applied: Vec<i64> = match exists {
            false => Vec::new(),
            // Not known before the first migration, so not checked beforehand.
            true => {
                sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success")
                    .fetch_all(&mut *tx.inner)
                    .await?
            }
        };
        Ok(MIGRATIONS
            .iter()
            .map(|migration| migration.version)
            .filter(|version| !applied.contains(version))
            .collect())
    }
}

/// Those that a later version has applied are none of ours: while an upgrade goes on,
/// or after it was given up, replicas of this version start all the same. They are under a lock
/// of their own already.
static MIGRATIONS: sqlx::migrate::Migrator = {
    let mut migrations = sqlx::migrate!("../../migrations");
    migrations.ignore_missing = true;
    migrations.locking = false;
    migrations
};
