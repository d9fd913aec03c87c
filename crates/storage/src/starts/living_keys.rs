//! The keys of all endpoints whose starts live, for a process that knows none yet.

use armour_protocol::v2::identity::{mark::Incarnated, start::StartHash};
use ed25519_dalek::VerifyingKey;
use uuid::Uuid;

use super::Starts;
use crate::{
    decode::{corrupt, fixed},
    error::Result,
};

/// Most that are read at once.
const BATCH: i64 = 1000;

/// An endpoint whose start lives, with the keys that it signs with.
#[derive(Debug, Clone)]
pub struct LivingKeys {
    /// The endpoint.
    pub endpoint: Uuid,
    /// The key that signs its starts.
    pub long_term: VerifyingKey,
    /// Its living start.
    pub start: Incarnated,
    /// The start's last keys, the latest first: at most two.
    pub keys: Vec<VerifyingKey>,
}

impl Starts<'_> {
    /// The tenant's endpoints that may act and whose starts live, in order of id from behind this
    /// one, at most 1000.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn living_keys(&mut self, after: Uuid) -> Result<Vec<LivingKeys>> {
        // By the index of starts that live: of those that ever were there are many more.
        let rows = sqlx::query!(
            r#"SELECT s.endpoint_id, s.hash, e.signing_key,
                      ARRAY(SELECT k.signing_key FROM endpoint_keys k
                            WHERE k.tenant_id = $1 AND k.endpoint_id = s.endpoint_id
                              AND k.start_hash = s.hash
                            ORDER BY k.since_k DESC LIMIT 2) AS "keys!"
               FROM endpoint_starts s
               JOIN endpoints e ON e.tenant_id = $1 AND e.endpoint_id = s.endpoint_id
                 AND e.state = 'active'
               WHERE s.tenant_id = $1 AND s.endpoint_id > $2 AND s.ended_at IS NULL
               ORDER BY s.endpoint_id LIMIT $3"#,
            self.0.tenant,
            after,
            BATCH
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        let key = |bytes| VerifyingKey::from_bytes(&fixed(bytes)?).map_err(corrupt);
        rows.into_iter()
            .map(|row| {
                Ok(LivingKeys {
                    endpoint: row.endpoint_id,
                    long_term: key(row.signing_key)?,
                    start: Incarnated {
                        endpoint: *row.endpoint_id.as_bytes(),
                        start: StartHash(fixed(row.hash)?),
                    },
                    keys: row.keys.into_iter().map(key).collect::<Result<_>>()?,
                })
            })
            .collect()
    }
}
