//! Which start follows its endpoint's events.

use armour_protocol::v2::identity::start::StartHash;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Starts;
use crate::error::Result;

impl Starts<'_> {
    /// Says that these starts follow their endpoints' events, by endpoint.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn touch_streams(&mut self, followed: &[(Uuid, StartHash)]) -> Result<()> {
        // In order, so that two replicas never wait for each other; each endpoint once.
        let mut followed = followed.to_vec();
        followed.sort_unstable_by_key(|(endpoint, _)| *endpoint);
        followed.dedup_by_key(|(endpoint, _)| *endpoint);
        let endpoints: Vec<Uuid> = followed.iter().map(|(endpoint, _)| *endpoint).collect();
        let starts: Vec<Vec<u8>> = followed.iter().map(|(_, hash)| hash.0.to_vec()).collect();
        sqlx::query!(
            "INSERT INTO endpoint_streams (tenant_id, endpoint_id, start_hash)
             SELECT $1, endpoint, start FROM unnest($2::uuid[], $3::bytea[]) AS f(endpoint, start)
             ON CONFLICT (tenant_id, endpoint_id)
             DO UPDATE SET start_hash = excluded.start_hash, touched_at = now()",
            self.0.tenant,
            &endpoints,
            &starts
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    /// When a replica last saw that this start follows its endpoint's events.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn stream_touched(
        &mut self,
        endpoint: Uuid,
        start: StartHash,
    ) -> Result<Option<DateTime<Utc>>> {
        Ok(sqlx::query_scalar!(
            "SELECT touched_at FROM endpoint_streams
             WHERE tenant_id = $1 AND endpoint_id = $2 AND start_hash = $3",
            self.0.tenant,
            endpoint,
            &start.0[..]
        )
        .fetch_optional(&mut *self.0.inner)
        .await?)
    }
}
