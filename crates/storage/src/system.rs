//! The service itself.

use armour_api::{Replica, System};
use chrono::{DateTime, Utc};

use crate::{
    error::Result,
    tx::{PLATFORM, Tx},
};

impl Tx {
    /// The service itself, as the platform; how it calls the outside is not known here.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn system(&mut self, now: DateTime<Utc>) -> Result<System> {
        let replicas = sqlx::query_as!(
            Replica,
            "SELECT replica_id AS id, version, started_at, seen_at FROM replicas
             WHERE seen_at > now() - interval '1 minute' ORDER BY started_at"
        )
        .fetch_all(&mut *self.inner)
        .await?;
        let database = sqlx::query!(
            r#"SELECT current_setting('server_version') AS "version!",
                      pg_database_size(current_database()) AS "bytes!""#
        )
        .fetch_one(&mut *self.inner)
        .await?;
        // Not checked beforehand: the table is made by the first migration itself.
        let migrations =
            sqlx::query_scalar("SELECT version FROM _sqlx_migrations ORDER BY version")
                .fetch_all(&mut *self.inner)
                .await?;
        let tenants = sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM tenants
               WHERE deleted_at IS NULL AND tenant_id <> $1"#,
            PLATFORM
        )
        .fetch_one(&mut *self.inner)
        .await?;
        let waiting = sqlx::query!(
            r#"SELECT count(*) AS "count!", min(due_at) AS since FROM work_hints
               WHERE due_at <= $1"#,
            now
        )
        .fetch_one(&mut *self.inner)
        .await?;
        Ok(System {
            replicas,
            database_version: database.version,
            database_bytes: database.bytes,
            migrations,
            tenants,
            tenants_waiting: waiting.count,
            waiting_since: waiting.since,
            outward: None,
        })
    }
}
