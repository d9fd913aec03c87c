//! Versions of the master key.

use armour_api::KeyVersion;

use crate::{
    actor::Actor,
    audit_actions::PlatformAction,
    decode::word,
    error::{Result, StorageError},
    store::Store,
    tx::Tx,
};

impl Store {
    /// Makes the database agree with the loaded master keys: new versions are
    /// recorded, the first one of all becomes active and opens the platform's journal.
    ///
    /// # Errors
    /// `WrongKey` if a version's key is another than the one recorded, `NoKey` if
    /// the active version is not loaded.
    pub async fn agree_on_keys(&self) -> Result<()> {
        let mut tx = self.platform().await?;
        sqlx::query!("SELECT pg_advisory_xact_lock(hashtext('armour_key_versions'))")
            .fetch_one(&mut *tx.inner)
            .await?;
        let mut added = Vec::new();
        for version in self.keyring.versions() {
            let value = self.keyring.check_value(version)?;
            let done = sqlx::query!(
                "INSERT INTO key_versions (version, check_value, state) VALUES ($1, $2, 'standby')
                 ON CONFLICT DO NOTHING",
                version,
                &value[..]
            )
            .execute(&mut *tx.inner)
            .await?;
            if done.rows_affected() == 1 {
                added.push(version);
            }
            let known = sqlx::query_scalar!(
                "SELECT check_value FROM key_versions WHERE version = $1",
                version
            )
            .fetch_one(&mut *tx.inner)
            .await?;
            if known != value {
                return Err(StorageError::WrongKey(version));
            }
        }
        sqlx::query!(
            "UPDATE key_versions SET state = 'active'
             WHERE version = (SELECT max(version) FROM key_versions WHERE state = 'standby')
               AND NOT EXISTS (SELECT FROM key_versions WHERE state = 'active')"
        )
        .execute(&mut *tx.inner)
        .await?;
        let active = tx.key_versions().active().await?;
        if !self.keyring.holds(active) {
            return Err(StorageError::NoKey(active));
        }
        if matches!(
            tx.audit_log().public_key().await,
            Err(StorageError::NotFound)
        ) {
            tx.journals().open().await?;
        }
        for version in added {
            let action = PlatformAction::MasterKeyAdd {
                version,
                active: version == active,
            };
            tx.audit_log().append(&Actor::Service, action).await?;
        }
        tx.commit().await
    }
}

impl Tx {
    /// Versions of the master key.
    pub fn key_versions(&mut self) -> KeyVersions<'_> {
        KeyVersions(self)
    }
}

/// Versions of the master key.
pub struct KeyVersions<'a>(&'a mut Tx);

impl KeyVersions<'_> {
    /// The version that seals.
    ///
    /// # Errors
    /// `NotFound` if there is none yet.
    pub async fn active(&mut self) -> Result<i32> {
        Ok(
            sqlx::query_scalar!("SELECT version FROM key_versions WHERE state = 'active'")
                .fetch_one(&mut *self.0.inner)
                .await?,
        )
    }

    /// Versions of the master key, latest first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn list(&mut self) -> Result<Vec<KeyVersion>> {
        let rows = sqlx::query!(
            "SELECT version, state, created_at, retired_at FROM key_versions ORDER BY version DESC"
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(KeyVersion {
                    version: row.version,
                    state: word(&row.state)?,
                    created_at: row.created_at,
                    retired_at: row.retired_at,
                    loaded: self.0.keyring.holds(row.version),
                })
            })
            .collect()
    }

    /// Makes a version the one that seals. Whoever still seals under the earlier
    /// one is waited for.
    ///
    /// # Errors
    /// `NotFound` if it is unknown or retired.
    pub async fn activate(&mut self, version: i32) -> Result<()> {
        sqlx::query!("SELECT pg_advisory_xact_lock(hashtext('armour_key_versions'))")
            .fetch_one(&mut *self.0.inner)
            .await?;
        sqlx::query!(
            "UPDATE key_versions SET state = 'standby' WHERE state = 'active' AND version <> $1",
            version
        )
        .execute(&mut *self.0.inner)
        .await?;
        sqlx::query_scalar!(
            "UPDATE key_versions SET state = 'active'
             WHERE version = $1 AND state <> 'retired' RETURNING version",
            version
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    /// Retires a version that is on standby. Returns whether that changed it.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn retire(&mut self, version: i32) -> Result<bool> {
        let done = sqlx::query!(
            "UPDATE key_versions SET state = 'retired', retired_at = now()
             WHERE version = $1 AND state = 'standby'",
            version
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(done.rows_affected() == 1)
    }
}
