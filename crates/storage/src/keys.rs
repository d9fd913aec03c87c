//! The platform's own keys: versions of the master key, rotations, and the keys
//! that sign access tokens.

use armour_api::{KeyRotation, KeyState, KeyVersion, SigningKey};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{Actor, Result, StorageError, Store, Tx, error::word};

/// A signing key's public half, for those who check signatures.
#[derive(Debug, Clone)]
pub struct PublicSigningKey {
    /// Its id.
    pub kid: String,
    /// Ed25519, 32 bytes.
    pub public_key: Vec<u8>,
    /// From when on it signs.
    pub activates_at: DateTime<Utc>,
    /// From when on nothing it signed is accepted.
    pub retires_at: Option<DateTime<Utc>>,
}

impl Store {
    /// Makes the database agree with the loaded master keys: new versions are
    /// noted, the first one of all becomes active and opens the platform's journal.
    ///
    /// # Errors
    /// `WrongKey` if a version's key is another than the one noted, `NoKey` if
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
            let noted = sqlx::query_scalar!(
                "SELECT check_value FROM key_versions WHERE version = $1",
                version
            )
            .fetch_one(&mut *tx.inner)
            .await?;
            if noted != value {
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
        let active = tx.active_key_version().await?;
        if !self.keyring.holds(active) {
            return Err(StorageError::NoKey(active));
        }
        if matches!(tx.log_public_key().await, Err(StorageError::NotFound)) {
            tx.open_journal().await?;
        }
        for version in added {
            let detail = serde_json::json!({ "active": version == active });
            tx.audit(&Actor::Service, "master-key.add", version, detail)
                .await?;
        }
        tx.commit().await
    }
}

impl Tx {
    /// The version that seals.
    ///
    /// # Errors
    /// `NotFound` if there is none yet.
    pub async fn active_key_version(&mut self) -> Result<i32> {
        Ok(
            sqlx::query_scalar!("SELECT version FROM key_versions WHERE state = 'active'")
                .fetch_one(&mut *self.inner)
                .await?,
        )
    }

    /// Versions of the master key, latest first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn list_key_versions(&mut self) -> Result<Vec<KeyVersion>> {
        let rows = sqlx::query!(
            "SELECT version, state, created_at, retired_at FROM key_versions ORDER BY version DESC"
        )
        .fetch_all(&mut *self.inner)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(KeyVersion {
                    version: row.version,
                    state: word(KeyState::parse, &row.state)?,
                    created_at: row.created_at,
                    retired_at: row.retired_at,
                    loaded: self.keyring.holds(row.version),
                })
            })
            .collect()
    }

    /// Makes a version the one that seals. Whoever still seals under the earlier
    /// one is waited for.
    ///
    /// # Errors
    /// `NotFound` if it is unknown or retired.
    pub async fn activate_key_version(&mut self, version: i32) -> Result<()> {
        sqlx::query!("SELECT pg_advisory_xact_lock(hashtext('armour_key_versions'))")
            .fetch_one(&mut *self.inner)
            .await?;
        sqlx::query!(
            "UPDATE key_versions SET state = 'standby' WHERE state = 'active' AND version <> $1",
            version
        )
        .execute(&mut *self.inner)
        .await?;
        sqlx::query_scalar!(
            "UPDATE key_versions SET state = 'active'
             WHERE version = $1 AND state <> 'retired' RETURNING version",
            version
        )
        .fetch_one(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Retires a version that is on standby. Returns whether that changed it.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn retire_key_version(&mut self, version: i32) -> Result<bool> {
        let done = sqlx::query!(
            "UPDATE key_versions SET state = 'retired', retired_at = now()
             WHERE version = $1 AND state = 'standby'",
            version
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Begins a rotation.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn create_rotation(&mut self, id: Uuid, to: i32, total: i64) -> Result<KeyRotation> {
        sqlx::query!(
            "INSERT INTO key_rotations (rotation_id, to_version, total) VALUES ($1, $2, $3)",
            id,
            to,
            total
        )
        .execute(&mut *self.inner)
        .await?;
        self.find_rotation(id).await
    }

    /// One rotation.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn find_rotation(&mut self, id: Uuid) -> Result<KeyRotation> {
        Ok(sqlx::query_as!(
            KeyRotation,
            "SELECT rotation_id AS id, to_version, total, done, started_at, finished_at
             FROM key_rotations WHERE rotation_id = $1",
            id
        )
        .fetch_one(&mut *self.inner)
        .await?)
    }

    /// Rotations, latest first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn list_rotations(&mut self) -> Result<Vec<KeyRotation>> {
        Ok(sqlx::query_as!(
            KeyRotation,
            "SELECT rotation_id AS id, to_version, total, done, started_at, finished_at
             FROM key_rotations ORDER BY rotation_id DESC LIMIT 100"
        )
        .fetch_all(&mut *self.inner)
        .await?)
    }

    /// A rotation that is not finished, held by this transaction alone, and the
    /// tenant it has reached.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn claim_rotation(&mut self) -> Result<Option<(KeyRotation, Uuid)>> {
        let row = sqlx::query!(
            "SELECT rotation_id, to_version, total, done, at_tenant, started_at, finished_at
             FROM key_rotations WHERE finished_at IS NULL ORDER BY rotation_id LIMIT 1
             FOR UPDATE SKIP LOCKED"
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        Ok(row.map(|row| {
            let rotation = KeyRotation {
                id: row.rotation_id,
                to_version: row.to_version,
                total: row.total,
                done: row.done,
                started_at: row.started_at,
                finished_at: row.finished_at,
            };
            (rotation, row.at_tenant)
        }))
    }

    /// Notes how far a rotation has come.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn advance_rotation(
        &mut self,
        id: Uuid,
        at_tenant: Uuid,
        done: i64,
        finished: bool,
    ) -> Result<()> {
        sqlx::query!(
            "UPDATE key_rotations SET at_tenant = $2, done = done + $3,
                    finished_at = CASE WHEN $4 THEN now() END
             WHERE rotation_id = $1",
            id,
            at_tenant,
            done,
            finished
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Adds a signing key, whose secret is stored apart, and retires the earlier
    /// ones once all they signed before then has expired.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn create_signing_key(
        &mut self,
        kid: &str,
        public_key: &[u8],
        activates_at: DateTime<Utc>,
        earlier_retire_at: DateTime<Utc>,
    ) -> Result<()> {
        sqlx::query!(
            "UPDATE signing_keys SET retires_at = $1 WHERE retires_at IS NULL",
            earlier_retire_at
        )
        .execute(&mut *self.inner)
        .await?;
        sqlx::query!(
            "INSERT INTO signing_keys (kid, public_key, activates_at) VALUES ($1, $2, $3)",
            kid,
            public_key,
            activates_at
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Waits until no other transaction makes signing keys.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn lock_signing_keys(&mut self) -> Result<()> {
        sqlx::query!("SELECT pg_advisory_xact_lock(hashtext('armour_signing_keys'))")
            .fetch_one(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// Keys whose signatures are accepted at a time, latest first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn public_signing_keys(
        &mut self,
        now: DateTime<Utc>,
    ) -> Result<Vec<PublicSigningKey>> {
        Ok(sqlx::query_as!(
            PublicSigningKey,
            "SELECT kid, public_key, activates_at, retires_at FROM signing_keys
             WHERE retires_at IS NULL OR retires_at > $1 ORDER BY activates_at DESC",
            now
        )
        .fetch_all(&mut *self.inner)
        .await?)
    }

    /// All signing keys, latest first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn list_signing_keys(&mut self) -> Result<Vec<SigningKey>> {
        Ok(sqlx::query_as!(
            SigningKey,
            "SELECT kid, created_at, activates_at, retires_at FROM signing_keys
             ORDER BY activates_at DESC LIMIT 100"
        )
        .fetch_all(&mut *self.inner)
        .await?)
    }

    /// Forgets keys that have been retired; returns their ids.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn delete_retired_signing_keys(&mut self, now: DateTime<Utc>) -> Result<Vec<String>> {
        Ok(sqlx::query_scalar!(
            "DELETE FROM signing_keys WHERE retires_at <= $1 RETURNING kid",
            now
        )
        .fetch_all(&mut *self.inner)
        .await?)
    }
}
