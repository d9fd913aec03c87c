//! Replicas of the service.

use uuid::Uuid;

use crate::{error::Result, tx::Tx};

impl Tx {
    /// The service's replicas.
    pub fn replicas(&mut self) -> Replicas<'_> {
        Replicas(self)
    }
}

/// The service's replicas.
pub struct Replicas<'a>(&'a mut Tx);

impl Replicas<'_> {
    /// Says that a replica is there, and forgets those that have not for an hour.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn touch(&mut self, id: Uuid, version: &str) -> Result<()> {
        sqlx::query!(
            "INSERT INTO replicas (replica_id, version) VALUES ($1, $2)
             ON CONFLICT (replica_id) DO UPDATE SET seen_at = now()",
            id,
            version
        )
        .execute(&mut *self.0.inner)
        .await?;
        sqlx::query!("DELETE FROM replicas WHERE seen_at < now() - interval '1 hour'")
            .execute(&mut *self.0.inner)
            .await?;
        Ok(())
    }
}
