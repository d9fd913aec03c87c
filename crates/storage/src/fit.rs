//! Whether a database can serve at all.

use sqlx::{Connection as _, PgConnection};

use crate::error::{Result, StorageError};

/// PostgreSQL 15, as its `server_version_num` has it.
const OLDEST: i32 = 150_000;

/// Checks version and encoding; warns of what goes wrong only later.
///
/// # Errors
/// [`StorageError::Unfit`] with what to do.
pub async fn check(connection: &mut PgConnection, most_connections: u32) -> Result<()> {
    let mut tx = connection.begin().await?;
    let is = sqlx::query!(
        r#"SELECT current_setting('server_version_num')::integer AS "number!",
                  current_setting('server_version') AS "version!",
                  current_setting('server_encoding') AS "encoding!",
                  current_setting('max_connections')::integer
                    - current_setting('superuser_reserved_connections')::integer AS "slots!",
                  current_schema()::text AS schema,
                  datname::text AS "name!", datcollate AS "collation!",
                  datcollversion AS collated,
                  pg_database_collation_actual_version(oid) AS collates
           FROM pg_database WHERE datname = current_database()"#
    )
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    if is.number < OLDEST {
        return Err(StorageError::Unfit(format!(
            "PostgreSQL {} is too old: 15 or later is needed",
            is.version
        )));
    }
    if is.encoding != "UTF8" {
        return Err(StorageError::Unfit(format!(
            "the database {} has the encoding {}, which cannot hold every name: make one with \
             CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0",
            is.name, is.encoding
        )));
    }
    if is.schema.is_none() {
        return Err(StorageError::Unfit(format!(
            "the role's search_path names no schema of the database {} that it may use",
            is.name
        )));
    }
    if is.collated != is.collates {
        tracing::error!(
            database = is.name,
            collation = is.collation,
            made_with = is.collated,
            now = is.collates,
            "the system's collation is another version than the database's indexes were made \
             with, so that names may be missed or be there twice: REINDEX DATABASE, then ALTER \
             DATABASE … REFRESH COLLATION VERSION"
        );
    }
    if i64::from(most_connections) > i64::from(is.slots) {
        tracing::error!(
            server = is.slots,
            replica = most_connections,
            "the server has fewer connections than this replica alone may take: raise \
             max_connections, or lower --database-connections"
        );
    }
    Ok(())
}
