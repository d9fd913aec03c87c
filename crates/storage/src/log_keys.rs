//! The keys that have signed the tenant's audit log, and how one follows another.

use armour_api::LogKeyRotation;
use armour_transparency::{KeyChain, Rotation};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::SubsecRound;
use ed25519_dalek::VerifyingKey;

use crate::{
    actor::Actor,
    audit_actions::LogAction,
    decode::{corrupt, fixed, to_i64, to_u64},
    error::Result,
    tx::Tx,
};

impl Tx {
    /// The keys of the tenant's audit log.
    pub fn log_keys(&mut self) -> LogKeys<'_> {
        LogKeys(self)
    }
}

/// The keys of the tenant's audit log.
pub struct LogKeys<'a>(&'a mut Tx);

impl LogKeys<'_> {
    /// Every key that the log has had.
    ///
    /// # Errors
    /// If the database does not answer, or holds rotations that were not signed.
    pub async fn chain(&mut self) -> Result<KeyChain> {
        let rotations = self.rotations_since(0).await?;
        let present = STANDARD.encode(self.0.audit_log().public_key().await?);
        KeyChain::new(self.0.tenant, &present, &rotations).map_err(corrupt)
    }

    /// The rotations that whoever knows the log's head of a size may not know.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn rotations_since(&mut self, size: u64) -> Result<Vec<LogKeyRotation>> {
        let rows = sqlx::query!(
            "SELECT number, size, rotated_at, old_key, new_key, old_signature, new_signature
             FROM log_keys WHERE tenant_id = $1 AND size >= $2 ORDER BY number",
            self.0.tenant,
            i64::try_from(size).unwrap_or(i64::MAX)
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        rows.into_iter()
            .map(|row| {
                let rotation = Rotation {
                    tenant: self.0.tenant,
                    number: to_u64(row.number)?,
                    size: to_u64(row.size)?,
                    at: row.rotated_at,
                    old: key(row.old_key)?,
                    new: key(row.new_key)?,
                };
                Ok(rotation.to_wire(&fixed(row.old_signature)?, &fixed(row.new_signature)?))
            })
            .collect()
    }

    /// Replaces the key that signs the log: the old one signs that the new one follows it,
    /// and its secret is gone. The entry that says so is the first that the new key signs.
    ///
    /// # Errors
    /// If the database refuses, or the key cannot be opened.
    pub async fn rotate(&mut self, actor: &Actor, reason: &str) -> Result<LogKeyRotation> {
        // Nobody writes an entry meanwhile, so no head is signed between the two keys.
        let log = sqlx::query!(
            "SELECT audit_size, clock_timestamp() AS \"now!\" FROM journals
             WHERE tenant_id = $1 FOR UPDATE",
            self.0.tenant
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        let before = sqlx::query_scalar!(
            r#"SELECT COALESCE(max(number), 0) AS "number!" FROM log_keys WHERE tenant_id = $1"#,
            self.0.tenant
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        let old = self.0.journals().signing_key().await?;
        let new = self.0.journals().replace_key().await?;
        let rotation = Rotation {
            tenant: self.0.tenant,
            number: to_u64(before + 1)?,
            size: to_u64(log.audit_size)?,
            // As PostgreSQL keeps it.
            at: log.now.trunc_subsecs(6),
            old: old.verifying_key(),
            new: new.verifying_key(),
        };
        let rotation = rotation.to_wire(&rotation.sign(&old), &rotation.sign(&new));
        self.create(&rotation).await?;
        let action = LogAction::RotateKey {
            number: rotation.number,
            old_key: &rotation.old_key,
            new_key: &rotation.new_key,
            reason,
        };
        let log = &mut self.0.audit_log();
        log.append_after(&old.verifying_key(), actor, action)
            .await?;
        Ok(rotation)
    }

    async fn create(&mut self, rotation: &LogKeyRotation) -> Result<()> {
        let bytes = |text: &str| STANDARD.decode(text).map_err(corrupt);
        sqlx::query!(
            "INSERT INTO log_keys (tenant_id, number, size, rotated_at, old_key, new_key,
                                   old_signature, new_signature)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            self.0.tenant,
            to_i64(rotation.number)?,
            to_i64(rotation.size)?,
            rotation.at,
            bytes(&rotation.old_key)?,
            bytes(&rotation.new_key)?,
            bytes(&rotation.old_signature)?,
            bytes(&rotation.new_signature)?
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }
}

fn key(bytes: Vec<u8>) -> Result<VerifyingKey> {
    VerifyingKey::from_bytes(&fixed(bytes)?).map_err(corrupt)
}
