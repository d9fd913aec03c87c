//! What bundles are bound to, as the protocol needs it to check who signed what.

use std::{collections::HashMap, sync::Arc};

use armour_protocol::v2::{
    context::{Binding, Context, End},
    suite::Suite,
};
use ed25519_dalek::VerifyingKey;
use uuid::Uuid;

use crate::{
    decode::{corrupt, fixed, to_u64},
    error::{Result, StorageError},
    tx::Tx,
};

impl Tx {
    /// The contexts of those of these bundles that exist.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn contexts(&mut self, bundles: &[Uuid]) -> Result<HashMap<Uuid, Arc<Context>>> {
        let rows = sqlx::query!(
            "SELECT b.bundle_id, b.pair_id, b.suite, b.draw, b.policy_hash, b.context_hash,
                    b.consumer_endpoint_id, b.consumer_key, c.party_id AS consumer_party,
                    b.producer_endpoint_id, b.producer_key, p.party_id AS producer_party
             FROM bundles b
             JOIN endpoints c ON c.tenant_id = $1 AND c.endpoint_id = b.consumer_endpoint_id
             JOIN endpoints p ON p.tenant_id = $1 AND p.endpoint_id = b.producer_endpoint_id
             WHERE b.tenant_id = $1 AND b.bundle_id = ANY($2)",
            self.tenant,
            bundles
        )
        .fetch_all(&mut *self.inner)
        .await?;
        let tenant = self.tenant;
        rows.into_iter()
            .map(|row| {
                let suite = u8::try_from(row.suite).map_err(corrupt)?;
                let context = Context::new(Binding {
                    suite: Suite::from_u8(suite).map_err(corrupt)?,
                    tenant: tenant.into_bytes(),
                    pair: row.pair_id.into_bytes(),
                    bundle: row.bundle_id.into_bytes(),
                    draw: to_u64(row.draw)?,
                    policy: fixed(row.policy_hash)?,
                    consumer: end(
                        row.consumer_party,
                        row.consumer_endpoint_id,
                        row.consumer_key,
                    )?,
                    producer: end(
                        row.producer_party,
                        row.producer_endpoint_id,
                        row.producer_key,
                    )?,
                });
                match *context.hash() == fixed::<32>(row.context_hash)? {
                    true => Ok((row.bundle_id, Arc::new(context))),
                    false => Err(corrupt("a bundle's context is not what its hash is of")),
                }
            })
            .collect()
    }

    /// The context of one bundle.
    ///
    /// # Errors
    /// `NotFound`, or as [`Tx::contexts`].
    pub async fn context(&mut self, bundle: Uuid) -> Result<Arc<Context>> {
        let mut found = self.contexts(&[bundle]).await?;
        found.remove(&bundle).ok_or(StorageError::NotFound)
    }
}

fn end(party: Uuid, endpoint: Uuid, key: Vec<u8>) -> Result<End> {
    Ok(End {
        party: party.into_bytes(),
        endpoint: endpoint.into_bytes(),
        key: VerifyingKey::from_bytes(&fixed(key)?).map_err(corrupt)?,
    })
}
