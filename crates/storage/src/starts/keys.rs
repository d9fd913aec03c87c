//! The keys of a start: its own, and those that links renewed.

use armour_protocol::v2::identity::{
    body::NewKeys,
    judge::KeySpan,
    link::SignedLink,
    mark::{LinkHash, LinkMark},
    start::StartHash,
};
use chrono::{DateTime, Utc};
use ed25519_dalek::VerifyingKey;
use uuid::Uuid;

use super::Starts;
use crate::{
    decode::{corrupt, fixed, to_i64, to_u64},
    error::Result,
};

/// A key of a start.
#[derive(Debug, Clone)]
pub struct KeyRow {
    /// The key, and from which link on it signs.
    pub span: KeySpan,
    /// What is sealed to the start meanwhile.
    pub hpke_key: [u8; 32],
    /// The renewal that made it current; none for the start's own.
    pub renewal: Option<Vec<u8>>,
    /// When it became current.
    pub since: DateTime<Utc>,
}

impl Starts<'_> {
    /// The keys of a start, in the order in which they were made.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn keys(&mut self, endpoint: Uuid, start: StartHash) -> Result<Vec<KeyRow>> {
        let rows = sqlx::query_as!(
            StoredKey,
            "SELECT since_k, since_hash, signing_key, hpke_key, link, since FROM endpoint_keys
             WHERE tenant_id = $1 AND endpoint_id = $2 AND start_hash = $3 ORDER BY since_k",
            self.0.tenant,
            endpoint,
            &start.0[..]
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        rows.into_iter().map(StoredKey::into_key).collect()
    }

    /// Of a start's keys the one that signs the link with this number, and the one after it, in
    /// the order in which they were made.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn keys_around(
        &mut self,
        endpoint: Uuid,
        start: StartHash,
        k: u64,
    ) -> Result<Vec<KeyRow>> {
        let rows = sqlx::query_as!(
            StoredKey,
            r#"SELECT since_k AS "since_k!", since_hash AS "since_hash!",
                      signing_key AS "signing_key!", hpke_key AS "hpke_key!", link,
                      since AS "since!"
               FROM ((SELECT * FROM endpoint_keys
                      WHERE tenant_id = $1 AND endpoint_id = $2 AND start_hash = $3
                        AND since_k < $4 ORDER BY since_k DESC LIMIT 1)
                     UNION ALL
                     (SELECT * FROM endpoint_keys
                      WHERE tenant_id = $1 AND endpoint_id = $2 AND start_hash = $3
                        AND since_k >= $4 ORDER BY since_k LIMIT 1)) keys
               ORDER BY since_k"#,
            self.0.tenant,
            endpoint,
            &start.0[..],
            i64::try_from(k).unwrap_or(i64::MAX)
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        rows.into_iter().map(StoredKey::into_key).collect()
    }

    /// How often a start's keys were renewed, and when last.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn renewed(
        &mut self,
        endpoint: Uuid,
        start: StartHash,
    ) -> Result<(u64, Option<DateTime<Utc>>)> {
        let renewed = sqlx::query!(
            r#"SELECT count(*) AS "count!", max(since) AS last FROM endpoint_keys
               WHERE tenant_id = $1 AND endpoint_id = $2 AND start_hash = $3
                 AND link IS NOT NULL"#,
            self.0.tenant,
            endpoint,
            &start.0[..]
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        Ok((to_u64(renewed.count)?, renewed.last))
    }

    /// Whether a key was one of an endpoint's starts', living or not.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn has_key(&mut self, endpoint: Uuid, key: &[u8]) -> Result<bool> {
        Ok(sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM endpoint_keys
               WHERE tenant_id = $1 AND endpoint_id = $2 AND signing_key = $3) AS "has!""#,
            self.0.tenant,
            endpoint,
            key
        )
        .fetch_one(&mut *self.0.inner)
        .await?)
    }

    /// The links that renewed a start's keys, in order, up to the one that made `key` current.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn renewals(
        &mut self,
        endpoint: Uuid,
        start: StartHash,
        key: &[u8; 32],
    ) -> Result<Vec<Vec<u8>>> {
        let mut keys = self.keys(endpoint, start).await?;
        let last = keys.iter().position(|row| row.span.key.as_bytes() == key);
        keys.truncate(last.map_or(0, |at| at + 1));
        Ok(keys.into_iter().filter_map(|row| row.renewal).collect())
    }

    /// All links that renewed a start's keys, in order.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn all_renewals(&mut self, endpoint: Uuid, start: StartHash) -> Result<Vec<Vec<u8>>> {
        let keys = self.keys(endpoint, start).await?;
        Ok(keys.into_iter().filter_map(|row| row.renewal).collect())
    }

    /// Makes the keys of a renewal current, as of this time.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn renew(
        &mut self,
        endpoint: Uuid,
        link: &SignedLink,
        keys: &NewKeys,
        since: DateTime<Utc>,
    ) -> Result<()> {
        let start = link.head().of().start;
        let renewal = (&link.to_bytes()[..], since);
        self.insert_keys(endpoint, start, link.mark(), keys, Some(renewal))
            .await
    }

    pub(super) async fn insert_keys(
        &mut self,
        endpoint: Uuid,
        start: StartHash,
        since: LinkMark,
        keys: &NewKeys,
        renewal: Option<(&[u8], DateTime<Utc>)>,
    ) -> Result<()> {
        sqlx::query!(
            "INSERT INTO endpoint_keys (tenant_id, endpoint_id, start_hash, since_k, since_hash,
                                        signing_key, hpke_key, link, since)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, coalesce($9, now()))",
            self.0.tenant,
            endpoint,
            &start.0[..],
            to_i64(since.k)?,
            &since.hash.0[..],
            &keys.key.as_bytes()[..],
            &keys.hpke_key[..],
            renewal.map(|(link, _)| link),
            renewal.map(|(_, since)| since)
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }
}

struct StoredKey {
    since_k: i64,
    since_hash: Vec<u8>,
    signing_key: Vec<u8>,
    hpke_key: Vec<u8>,
    link: Option<Vec<u8>>,
    since: DateTime<Utc>,
}

impl StoredKey {
    fn into_key(self) -> Result<KeyRow> {
        let since = LinkMark {
            k: to_u64(self.since_k)?,
            hash: LinkHash(fixed(self.since_hash)?),
        };
        Ok(KeyRow {
            span: KeySpan {
                key: VerifyingKey::from_bytes(&fixed(self.signing_key)?).map_err(corrupt)?,
                since,
            },
            hpke_key: fixed(self.hpke_key)?,
            renewal: self.link,
            since: self.since,
        })
    }
}
