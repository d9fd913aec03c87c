//! Everything that is sealed at rest, in one table under one set of rules.

use zeroize::Zeroizing;

use crate::{
    error::{Result, StorageError},
    keyring::TenantKey,
    tx::Tx,
};

impl Tx {
    /// The tenant's sealed secrets.
    pub fn secrets(&mut self) -> Secrets<'_> {
        Secrets(self)
    }
}

/// The tenant's sealed secrets.
pub struct Secrets<'a>(&'a mut Tx);

impl Secrets<'_> {
    /// Seals a secret under the active master key and stores it by name,
    /// replacing what had the name.
    ///
    /// # Errors
    /// `Shredded` if the tenant's key is gone, or if no key is active.
    pub async fn put(&mut self, name: &str, secret: &[u8]) -> Result<()> {
        let version = self.version().await?;
        let salt = self.salt().await?;
        let key = TenantKey {
            tenant: self.0.tenant,
            salt: &salt,
            version,
        };
        let sealed = self.0.keyring.seal(key, name, secret, self.0.random())?;
        sqlx::query!(
            "INSERT INTO secrets (tenant_id, name, key_version, sealed) VALUES ($1, $2, $3, $4)
             ON CONFLICT (tenant_id, name) DO UPDATE SET key_version = $3, sealed = $4",
            self.0.tenant,
            name,
            version,
            sealed
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    /// The version that seals, until the transaction ends: an activation of another one waits for
    /// whoever still seals under this one, so that a rotation misses none. Not by the version's
    /// row: all tenants would write to it, one after another.
    async fn version(&mut self) -> Result<i32> {
        if let Some(version) = self.0.seals_under {
            return Ok(version);
        }
        sqlx::query!("SELECT pg_advisory_xact_lock_shared(hashtext('armour_key_versions'))")
            .fetch_one(&mut *self.0.inner)
            .await?;
        // A statement of its own: it sees what the lock was waited for.
        let version = self.0.key_versions().active().await?;
        self.0.seals_under = Some(version);
        Ok(version)
    }

    /// A secret by name, if it is there.
    ///
    /// # Errors
    /// `Shredded`, `Retired` if it is still under a retired key, or if it does
    /// not open.
    pub async fn get(&mut self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let row = sqlx::query!(
            "SELECT sealed, key_version, salt, state FROM secrets s
             JOIN tenant_keys USING (tenant_id) JOIN key_versions v ON v.version = s.key_version
             WHERE tenant_id = $1 AND name = $2",
            self.0.tenant,
            name
        )
        .fetch_optional(&mut *self.0.inner)
        .await?;
        let Some(row) = row else { return Ok(None) };
        if row.state == "retired" {
            return Err(StorageError::Retired(row.key_version));
        }
        let key = TenantKey {
            tenant: self.0.tenant,
            salt: &row.salt.ok_or(StorageError::Shredded)?,
            version: row.key_version,
        };
        Ok(Some(self.0.keyring.open(key, name, &row.sealed)?))
    }

    /// Erases secrets by name.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn erase(&mut self, names: &[String]) -> Result<()> {
        sqlx::query!(
            "DELETE FROM secrets WHERE tenant_id = $1 AND name = ANY($2)",
            self.0.tenant,
            names
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    /// Makes the tenant's key impossible to derive, and erases what it sealed.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn shred(&mut self) -> Result<()> {
        sqlx::query!(
            "UPDATE tenant_keys SET salt = NULL, shredded_at = now()
             WHERE tenant_id = $1 AND salt IS NOT NULL",
            self.0.tenant
        )
        .execute(&mut *self.0.inner)
        .await?;
        sqlx::query!("DELETE FROM secrets WHERE tenant_id = $1", self.0.tenant)
            .execute(&mut *self.0.inner)
            .await?;
        Ok(())
    }

    /// How many secrets are under this version.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn count_under(&mut self, version: i32) -> Result<i64> {
        Ok(sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM secrets WHERE tenant_id = $1 AND key_version = $2"#,
            self.0.tenant,
            version
        )
        .fetch_one(&mut *self.0.inner)
        .await?)
    }

    /// How many secrets are under another version than this one.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn count_not_under(&mut self, version: i32) -> Result<i64> {
        Ok(sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM secrets WHERE tenant_id = $1 AND key_version <> $2"#,
            self.0.tenant,
            version
        )
        .fetch_one(&mut *self.0.inner)
        .await?)
    }

    /// Seals up to `limit` secrets anew under a version; returns how many. What
    /// somebody else is changing just now is left for the next call.
    ///
    /// # Errors
    /// If one does not open, or the version is not loaded.
    pub async fn reseal(&mut self, version: i32, limit: i64) -> Result<u64> {
        let salt = match self.salt().await {
            Err(StorageError::Shredded) => return Ok(0),
            salt => salt?,
        };
        let rows = sqlx::query!(
            "SELECT name, key_version, sealed FROM secrets
             WHERE tenant_id = $1 AND key_version <> $2 LIMIT $3 FOR UPDATE SKIP LOCKED",
            self.0.tenant,
            version,
            limit
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        let (mut names, mut boxes) = (Vec::new(), Vec::new());
        for row in rows {
            let key = |version| TenantKey {
                tenant: self.0.tenant,
                salt: &salt,
                version,
            };
            let secret = self
                .0
                .keyring
                .open(key(row.key_version), &row.name, &row.sealed)?;
            boxes.push(
                self.0
                    .keyring
                    .seal(key(version), &row.name, &secret, self.0.random())?,
            );
            names.push(row.name);
        }
        let done = sqlx::query!(
            "UPDATE secrets s SET key_version = $2, sealed = fresh.sealed
             FROM UNNEST($3::text[], $4::bytea[]) AS fresh (name, sealed)
             WHERE s.tenant_id = $1 AND s.name = fresh.name",
            self.0.tenant,
            version,
            &names,
            &boxes
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(done.rows_affected())
    }

    /// Gives the tenant its salt.
    pub(crate) async fn create_salt(&mut self, salt: &[u8]) -> Result<()> {
        sqlx::query!(
            "INSERT INTO tenant_keys (tenant_id, salt) VALUES ($1, $2)",
            self.0.tenant,
            salt
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    async fn salt(&mut self) -> Result<Vec<u8>> {
        sqlx::query_scalar!(
            "SELECT salt FROM tenant_keys WHERE tenant_id = $1",
            self.0.tenant
        )
        .fetch_one(&mut *self.0.inner)
        .await?
        .ok_or(StorageError::Shredded)
    }
}
