//! What endpoints are at a time, many at once.

use std::collections::{HashMap, hash_map::Entry};

use armour_api::EndpointState;
use armour_protocol::v2::identity::start::StartHash;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Starts;
use crate::{
    decode::{fixed, word},
    error::Result,
};

/// What an endpoint is at a time.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Whether it may act.
    pub state: EndpointState,
    /// Its living start, if there is one.
    pub living: Option<LivingStart>,
}

/// A living start, as those know it who ask whether a key is its.
#[derive(Debug, Clone)]
pub struct LivingStart {
    /// H of it.
    pub hash: StartHash,
    /// Its last keys, the latest first: at most two, and when each became current.
    pub keys: Vec<([u8; 32], DateTime<Utc>)>,
}

impl Starts<'_> {
    /// What those of these endpoints are that exist.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn standings(&mut self, endpoints: &[Uuid]) -> Result<HashMap<Uuid, Standing>> {
        let rows = sqlx::query!(
            r#"SELECT e.endpoint_id, s.hash AS "hash?", k.signing_key AS "signing_key?",
                      k.since AS "since?",
                      CASE WHEN EXISTS (SELECT FROM tenants t
                                        WHERE t.tenant_id = $1 AND t.deleted_at IS NOT NULL)
                           THEN 'revoked' ELSE e.state END AS "state!"
               FROM endpoints e
               LEFT JOIN endpoint_starts s ON s.tenant_id = e.tenant_id
                 AND s.endpoint_id = e.endpoint_id AND s.ended_at IS NULL
               LEFT JOIN LATERAL (
                 SELECT signing_key, since FROM endpoint_keys k
                 WHERE k.tenant_id = e.tenant_id AND k.endpoint_id = e.endpoint_id
                   AND k.start_hash = s.hash ORDER BY since_k DESC LIMIT 2) k ON true
               WHERE e.tenant_id = $1 AND e.endpoint_id = ANY($2)
               ORDER BY e.endpoint_id, k.since DESC"#,
            self.0.tenant,
            endpoints
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        let mut found = HashMap::new();
        for row in rows {
            let standing = match found.entry(row.endpoint_id) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(Standing {
                    state: word(&row.state)?,
                    living: None,
                }),
            };
            if let (Some(hash), Some(key), Some(since)) = (row.hash, row.signing_key, row.since) {
                let hash = StartHash(fixed(hash)?);
                let living = standing.living.get_or_insert_with(|| LivingStart {
                    hash,
                    keys: Vec::new(),
                });
                living.keys.push((fixed(key)?, since));
            }
        }
        Ok(found)
    }
}
