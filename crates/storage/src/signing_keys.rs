//! The keys that sign access tokens.

use armour_api::SigningKey;
use chrono::{DateTime, Utc};

use crate::{error::Result, tx::Tx};

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

impl Tx {
    /// The keys that sign access tokens.
    pub fn signing_keys(&mut self) -> SigningKeys<'_> {
        SigningKeys(self)
    }
}

/// The keys that sign access tokens.
pub struct SigningKeys<'a>(&'a mut Tx);

impl SigningKeys<'_> {
    /// Adds a signing key, whose secret is stored apart, and retires the earlier
    /// ones once all they signed before then has expired.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn create(
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
        .execute(&mut *self.0.inner)
        .await?;
        sqlx::query!(
            "INSERT INTO signing_keys (kid, public_key, activates_at) VALUES ($1, $2, $3)",
            kid,
            public_key,
            activates_at
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    /// Waits until no other transaction makes signing keys.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn lock(&mut self) -> Result<()> {
        sqlx::query!("SELECT pg_advisory_xact_lock(hashtext('armour_signing_keys'))")
            .fetch_one(&mut *self.0.inner)
            .await?;
        Ok(())
    }

    /// Keys whose signatures are accepted at a time, latest first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn list_public(&mut self, now: DateTime<Utc>) -> Result<Vec<PublicSigningKey>> {
        Ok(sqlx::query_as!(
            PublicSigningKey,
            "SELECT kid, public_key, activates_at, retires_at FROM signing_keys
             WHERE retires_at IS NULL OR retires_at > $1 ORDER BY activates_at DESC",
            now
        )
        .fetch_all(&mut *self.0.inner)
        .await?)
    }

    /// All signing keys, latest first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn list(&mut self) -> Result<Vec<SigningKey>> {
        Ok(sqlx::query_as!(
            SigningKey,
            "SELECT kid, created_at, activates_at, retires_at FROM signing_keys
             ORDER BY activates_at DESC LIMIT 100"
        )
        .fetch_all(&mut *self.0.inner)
        .await?)
    }

    /// Forgets keys that have been retired; returns their ids.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn delete_retired(&mut self, now: DateTime<Utc>) -> Result<Vec<String>> {
        Ok(sqlx::query_scalar!(
            "DELETE FROM signing_keys WHERE retires_at <= $1 RETURNING kid",
            now
        )
        .fetch_all(&mut *self.0.inner)
        .await?)
    }
}
