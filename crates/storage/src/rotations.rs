//! Rotations: every secret sealed anew under another version of the master key.

use armour_api::KeyRotation;
use uuid::Uuid;

use crate::{error::Result, tx::Tx};

impl Tx {
    /// Rotations of the master key.
    pub fn rotations(&mut self) -> Rotations<'_> {
        Rotations(self)
    }
}

/// Rotations of the master key.
pub struct Rotations<'a>(&'a mut Tx);

impl Rotations<'_> {
    /// Begins a rotation.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn create(&mut self, id: Uuid, to: i32, total: i64) -> Result<KeyRotation> {
        sqlx::query!(
            "INSERT INTO key_rotations (rotation_id, to_version, total) VALUES ($1, $2, $3)",
            id,
            to,
            total
        )
        .execute(&mut *self.0.inner)
        .await?;
        self.find(id).await
    }

    /// One rotation.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn find(&mut self, id: Uuid) -> Result<KeyRotation> {
        Ok(sqlx::query_as!(
            KeyRotation,
            "SELECT rotation_id AS id, to_version, total, done, started_at, finished_at
             FROM key_rotations WHERE rotation_id = $1",
            id
        )
        .fetch_one(&mut *self.0.inner)
        .await?)
    }

    /// Rotations, latest first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn list(&mut self) -> Result<Vec<KeyRotation>> {
        Ok(sqlx::query_as!(
            KeyRotation,
            "SELECT rotation_id AS id, to_version, total, done, started_at, finished_at
             FROM key_rotations ORDER BY rotation_id DESC LIMIT 100"
        )
        .fetch_all(&mut *self.0.inner)
        .await?)
    }

    /// A rotation that is not finished, held by this transaction alone, and the
    /// tenant it has reached.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn claim(&mut self) -> Result<Option<(KeyRotation, Uuid)>> {
        let row = sqlx::query!(
            "SELECT rotation_id, to_version, total, done, at_tenant, started_at, finished_at
             FROM key_rotations WHERE finished_at IS NULL ORDER BY rotation_id LIMIT 1
             FOR UPDATE SKIP LOCKED"
        )
        .fetch_optional(&mut *self.0.inner)
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

    /// Records how far a rotation has come.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn advance(
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
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }
}
