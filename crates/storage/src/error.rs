//! What the database can answer that a caller acts on.

use thiserror::Error;

use crate::{counted::Counted, keyring::KeyringError};

/// The layer's result.
pub type Result<T> = std::result::Result<T, StorageError>;

/// Why a storage call failed.
#[derive(Debug, Error)]
pub enum StorageError {
    /// The row does not exist, or is another tenant's.
    #[error("not found")]
    NotFound,
    /// A unique constraint: the name or combination exists.
    #[error("already exists ({0})")]
    Exists(String),
    /// A stored value that this version cannot read.
    #[error("stored value cannot be read: {0}")]
    Corrupt(String),
    /// The database cannot be reached, or does not serve now.
    #[error("database: {0}")]
    Unreachable(sqlx::Error),
    /// The database's URL.
    #[error("the database's URL: {0}")]
    Url(String),
    /// The first connection failed.
    #[error("no connection to PostgreSQL at {0}: {1}{advice}", advice = advice(.1))]
    NotConnected(String, sqlx::Error),
    /// The database's encoding, version or settings.
    #[error("{0}")]
    Unfit(String),
    /// Of transactions that waited for each other the database has ended this one. Nothing of it
    /// has happened; done again, it may.
    #[error("database: {0}")]
    Conflict(sqlx::Error),
    /// All connections of the tenant's share are in use, for longer than a call waits.
    #[error("the tenant makes more calls at once than it has connections for")]
    TenantBusy,
    /// A statement, or the wait for a lock or a connection, took longer than it may.
    #[error("database: {0}")]
    Slow(sqlx::Error),
    /// The database does not take a statement: a fault of this program, or of the schema.
    #[error("database: {0}")]
    Refused(sqlx::Error),
    /// The tenant's key was shredded: nothing of it can be opened or sealed.
    #[error("the tenant's key was shredded")]
    Shredded,
    /// A secret is still under a master key that was retired.
    #[error("master key version {0} is retired")]
    Retired(i32),
    /// A master key is another one than the database was made with.
    #[error("the key given as master key version {0} is not the one this database knows")]
    WrongKey(i32),
    /// The master key that seals is not loaded.
    #[error("master key version {0} is active, but not loaded")]
    NoKey(i32),
    /// Sealing or opening failed.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// Another call has claimed the call's `Idempotency-Key` meanwhile; nothing has happened.
    #[error("another call has claimed the Idempotency-Key")]
    Overtaken,
    /// The tenant has as many as it may.
    #[error("the quota of {1} {name} is used up", name = .0.as_str())]
    OverQuota(Counted, u32),
    /// The server is a standby.
    #[error("the database server takes no writes")]
    ReadOnly,
    /// The database is older than this program.
    #[error("the database lacks the migrations {0:?}")]
    NotMigrated(Vec<i64>),
    /// Migrations do not apply.
    #[error("migrations: {0}")]
    Migration(String),
}

/// What to do about a connection that failed.
fn advice(error: &sqlx::Error) -> &'static str {
    let code = error.as_database_error().and_then(|error| error.code());
    match (error, code.as_deref()) {
        (_, Some("28P01" | "28000")) => {
            "; check the URL's role and password, and the server's pg_hba.conf"
        }
        (_, Some("3D000")) => "; create the database, or name another one in the URL",
        (_, Some("53300")) => {
            "; the server's max_connections, or the role's limit, is less than all replicas' \
             --database-connections together"
        }
        (_, Some("08P01")) => {
            "; a pooler between refuses a parameter: see docs/kubernetes.md on PgBouncer"
        }
        (sqlx::Error::Tls(_), _) => {
            "; give the server a certificate, or say sslmode=disable in the URL if nobody can \
             listen between"
        }
        (sqlx::Error::Io(_), _) => "; check host and port, and that the server listens there",
        _ => "",
    }
}

impl StorageError {
    pub(crate) fn migration(error: sqlx::migrate::MigrateError) -> Self {
        Self::Migration(error.to_string())
    }
}

impl From<sqlx::Error> for StorageError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::RowNotFound => Self::NotFound,
            sqlx::Error::Database(db) if db.is_unique_violation() => {
                Self::Exists(db.constraint().unwrap_or("unique").to_owned())
            }
            sqlx::Error::Database(db) if db.is_foreign_key_violation() => Self::NotFound,
            sqlx::Error::Database(db) => match kind(&db.code().unwrap_or_default()) {
                Answer::Conflict => Self::Conflict(error),
                Answer::Slow => Self::Slow(error),
                Answer::Away => Self::Unreachable(error),
                Answer::Refusal => Self::Refused(error),
            },
            sqlx::Error::PoolTimedOut => Self::Slow(error),
            sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::TypeNotFound { .. } => Self::Corrupt(error.to_string()),
            _ => Self::Unreachable(error),
        }
    }
}

/// What an error that the database names is to us.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Conflict,
    Slow,
    Away,
    Refusal,
}

/// By its code (PostgreSQL's manual, appendix A).
fn kind(code: &str) -> Answer {
    match code {
        // Serialization failure, deadlock.
        "40001" | "40P01" => Answer::Conflict,
        // A statement's, a lock's and an idle transaction's timeout.
        "57014" | "55P03" | "25P03" => Answer::Slow,
        // A standby that was the primary.
        "25006" => Answer::Away,
        _ => match code.get(..2) {
            // Connections, credentials, catalogue, resources, an operator's doing, the system.
            Some("08" | "28" | "3D" | "53" | "57" | "58") => Answer::Away,
            _ => Answer::Refusal,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m1_only_a_database_that_does_not_serve_is_called_unreachable() {
        for (code, expected) in [
            ("40001", Answer::Conflict),
            ("40P01", Answer::Conflict),
            ("57014", Answer::Slow),
            ("55P03", Answer::Slow),
            ("57P01", Answer::Away),
            ("53300", Answer::Away),
            ("08006", Answer::Away),
            ("25006", Answer::Away),
            ("23514", Answer::Refusal),
            ("42P01", Answer::Refusal),
            ("", Answer::Refusal),
        ] {
            assert_eq!(kind(code), expected, "{code}");
        }
        let waited = StorageError::from(sqlx::Error::PoolTimedOut);
        assert!(matches!(waited, StorageError::Slow(_)));
    }
}
