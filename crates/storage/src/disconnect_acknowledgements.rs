//! When endpoints acknowledged a disconnect: their first heartbeat without the bundle.

use armour_api::Obedience;
use uuid::Uuid;

use crate::{error::Result, tx::Tx};

impl Tx {
    /// Which endpoints have acknowledged which disconnects.
    pub fn disconnect_acknowledgements(&mut self) -> DisconnectAcknowledgements<'_> {
        DisconnectAcknowledgements(self)
    }
}

/// Which endpoints have acknowledged which disconnects.
pub struct DisconnectAcknowledgements<'a>(&'a mut Tx);

impl DisconnectAcknowledgements<'_> {
    /// Records which disconnects an endpoint has acknowledged: those of the last hour
    /// whose bundle is not among its `active` ones any more. These are all of its bundles
    /// with ids from `from` on and before `to`, as far as they are given. Once all are
    /// acknowledged they are not looked at again, but for those of the last minute: a
    /// transaction that disconnected some may have been under way.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn record(
        &mut self,
        endpoint: Uuid,
        active: &[Uuid],
        (from, to): (Option<Uuid>, Option<Uuid>),
    ) -> Result<()> {
        sqlx::query!(
            "WITH cut AS MATERIALIZED (
                 SELECT bundle_id, bundle_id = ANY ($3) AS kept FROM bundles
                 WHERE tenant_id = $1 AND (consumer_endpoint_id = $2 OR producer_endpoint_id = $2)
                   AND disconnected_at > greatest(now() - interval '1 hour',
                       (SELECT obeyed_until FROM endpoints
                        WHERE tenant_id = $1 AND endpoint_id = $2))
                   AND ($4::uuid IS NULL OR bundle_id >= $4)
                   AND ($5::uuid IS NULL OR bundle_id < $5)),
             told AS (
                 INSERT INTO obediences (tenant_id, bundle_id, endpoint_id)
                 SELECT $1, bundle_id, $2 FROM cut WHERE NOT kept ON CONFLICT DO NOTHING)
             UPDATE endpoints SET obeyed_until = now() - interval '1 minute'
             WHERE tenant_id = $1 AND endpoint_id = $2 AND $4 IS NULL AND $5 IS NULL
               AND EXISTS (SELECT FROM cut) AND NOT EXISTS (SELECT FROM cut WHERE kept)",
            self.0.tenant,
            endpoint,
            active,
            from,
            to
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    /// When endpoints acknowledged a bundle's disconnect.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn list(&mut self, bundle: Uuid) -> Result<Vec<Obedience>> {
        Ok(sqlx::query_as!(
            Obedience,
            "SELECT endpoint_id, obeyed_at FROM obediences
             WHERE tenant_id = $1 AND bundle_id = $2 ORDER BY obeyed_at",
            self.0.tenant,
            bundle
        )
        .fetch_all(&mut *self.0.inner)
        .await?)
    }
}
