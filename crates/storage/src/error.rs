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
    /// The database cannot be reached or refused.
    #[error("database: {0}")]
    Database(sqlx::Error),
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
            _ => Self::Database(error),
        }
    }
}
