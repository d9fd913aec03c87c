//! The migrations that this program needs.

use crate::{
    error::{Result, StorageError},
    store::Store,
};

impl Store {
    /// Applies the migrations that are missing.
    ///
    /// # Errors
    /// If one fails or an applied one was changed.
    pub async fn migrate(&self) -> Result<()> {
        MIGRATIONS
            .run(&self.pool)
            .await
            .map_err(StorageError::migration)
    }

    /// Numbers of the migrations that this program needs and the database lacks;
    /// later ones than it knows do it no harm.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn missing_migrations(&self) -> Result<Vec<i64>> {
        let exists = sqlx::query_scalar!(
            r#"SELECT to_regclass('_sqlx_migrations') IS NOT NULL AS "exists!""#
        )
        .fetch_one(&self.pool)
        .await?;
        let applied: Vec<i64> = match exists {
            false => Vec::new(),
            // Not known before the first migration, so not checked beforehand.
            true => {
                sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success")
                    .fetch_all(&self.pool)
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
/// or after it was given up, replicas of this version start all the same.
static MIGRATIONS: sqlx::migrate::Migrator = {
    let mut migrations = sqlx::migrate!("../../migrations");
    migrations.ignore_missing = true;
    migrations
};
