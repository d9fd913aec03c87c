//! Starts of endpoints, their keys, and the chain of links of each.

pub(crate) mod keys;
pub(crate) mod living_keys;
pub(crate) mod standing;
mod streams;

use armour_api::{EndpointStart, Page};
use armour_protocol::v2::identity::{
    body::NewKeys,
    link::SignedLink,
    mark::{Incarnated, LinkHash, LinkMark},
    start::{MAX_UNANSWERED, SignedStart, StartHash},
};
use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    decode::{corrupt, fixed, to_i64, to_u64},
    error::Result,
    page::{PAGE, page},
    tx::Tx,
};

/// A start to be recorded.
#[derive(Debug)]
pub struct NewStart<'a> {
    /// Whose it is.
    pub endpoint: Uuid,
    /// As it was signed.
    pub start: &'a SignedStart,
    /// Where it runs, as it says itself.
    pub host: Option<&'a str>,
    /// Its process's number there.
    pub process: Option<u32>,
}

/// A start that was accepted.
#[derive(Debug, Clone)]
pub struct StartRow {
    /// H of it.
    pub hash: StartHash,
    /// As it was signed.
    pub start: SignedStart,
    /// Where it runs, as it says itself.
    pub host: Option<String>,
    /// Its process's number there.
    pub process: Option<u32>,
    /// When it was accepted.
    pub accepted_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// The last link of its chain.
    pub head: LinkMark,
    /// That link without its content, with its signature.
    pub head_link: Option<Vec<u8>>,
    /// What that link was answered with.
    pub head_answer: Option<Value>,
    /// When it was taken.
    pub head_at: Option<DateTime<Utc>>,
    /// The link that came after the start's end.
    pub late: Option<LinkHash>,
    /// That link without its content, with its signature.
    pub late_link: Option<Vec<u8>>,
}

impl Tx {
    /// The starts of the tenant's endpoints.
    pub fn starts(&mut self) -> Starts<'_> {
        Starts(self)
    }
}

/// The starts of the tenant's endpoints.
pub struct Starts<'a>(&'a mut Tx);

impl Starts<'_> {
    /// Records a start, with the keys that it names. An earlier one must have ended.
    ///
    /// # Errors
    /// `Exists` if another start lives or has its counter.
    pub async fn record(&mut self, new: &NewStart<'_>) -> Result<()> {
        let start = new.start.unverified();
        let (hash, of) = (start.hash(), Incarnated::by(start));
        sqlx::query!(
            "INSERT INTO endpoint_starts (tenant_id, endpoint_id, hash, counter, start, host,
                                          process, head_hash)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $3)",
            self.0.tenant,
            new.endpoint,
            &hash.0[..],
            to_i64(start.counter())?,
            new.start.to_bytes(),
            new.host,
            new.process.map(i64::from)
        )
        .execute(&mut *self.0.inner)
        .await?;
        sqlx::query!(
            "UPDATE endpoints SET phase = NULL, left_at = NULL
             WHERE tenant_id = $1 AND endpoint_id = $2",
            self.0.tenant,
            new.endpoint
        )
        .execute(&mut *self.0.inner)
        .await?;
        let keys = NewKeys {
            key: *start.key(),
            hpke_key: *start.hpke_key(),
        };
        self.insert_keys(new.endpoint, hash, of.origin(), &keys, None)
            .await
    }

    /// Those accepted starts that say what one of this counter is: at most those that it may
    /// go back to and the first that is not below it, by ascending counter.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn around(&mut self, endpoint: Uuid, counter: u64) -> Result<Vec<SignedStart>> {
        let back = MAX_UNANSWERED as u64 + 1;
        let starts = sqlx::query_scalar!(
            "SELECT start FROM endpoint_starts
             WHERE tenant_id = $1 AND endpoint_id = $2 AND counter >= $3
             ORDER BY counter LIMIT $4",
            self.0.tenant,
            endpoint,
            to_i64(counter.saturating_sub(back))?,
            to_i64(back + 1)?
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        starts.iter().map(|bytes| read_start(bytes)).collect()
    }

    /// A start that was accepted.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn find(&mut self, endpoint: Uuid, hash: StartHash) -> Result<Option<StartRow>> {
        let row = sqlx::query_as!(
            Row,
            "SELECT hash, start, host, process, accepted_at, ended_at, head_k, head_hash,
                    head_link, head_answer, head_at, late_hash, late_link
             FROM endpoint_starts
             WHERE tenant_id = $1 AND endpoint_id = $2 AND hash = $3",
            self.0.tenant,
            endpoint,
            &hash.0[..]
        )
        .fetch_optional(&mut *self.0.inner)
        .await?;
        row.map(Row::into_start).transpose()
    }

    /// When anything was last taken from the endpoint's latest start or, if `below` is given,
    /// from the latest one of a lower counter: the start itself or a link of its chain.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn heard(
        &mut self,
        endpoint: Uuid,
        below: Option<u64>,
    ) -> Result<Option<DateTime<Utc>>> {
        let heard = sqlx::query_scalar!(
            r#"SELECT greatest(accepted_at, head_at) AS "heard!" FROM endpoint_starts
               WHERE tenant_id = $1 AND endpoint_id = $2 AND counter < $3
               ORDER BY counter DESC LIMIT 1"#,
            self.0.tenant,
            endpoint,
            to_i64(below.unwrap_or(i64::MAX as u64))?
        )
        .fetch_optional(&mut *self.0.inner)
        .await?;
        Ok(heard)
    }

    /// The start that lives, if one does.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn living(&mut self, endpoint: Uuid) -> Result<Option<StartRow>> {
        let row = sqlx::query_as!(
            Row,
            "SELECT hash, start, host, process, accepted_at, ended_at, head_k, head_hash,
                    head_link, head_answer, head_at, late_hash, late_link
             FROM endpoint_starts
             WHERE tenant_id = $1 AND endpoint_id = $2 AND ended_at IS NULL",
            self.0.tenant,
            endpoint
        )
        .fetch_optional(&mut *self.0.inner)
        .await?;
        row.map(Row::into_start).transpose()
    }

    /// An endpoint's starts, the latest first, from below a counter if one is given.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn list(
        &mut self,
        endpoint: Uuid,
        below: Option<u64>,
    ) -> Result<Page<EndpointStart>> {
        let below = below.and_then(|counter| i64::try_from(counter).ok());
        let rows = sqlx::query_as!(
            ListedRow,
            "SELECT hash, counter, host, process, accepted_at, ended_at, head_k, head_at
             FROM endpoint_starts
             WHERE tenant_id = $1 AND endpoint_id = $2 AND counter < $3
             ORDER BY counter DESC LIMIT $4",
            self.0.tenant,
            endpoint,
            below.unwrap_or(i64::MAX),
            PAGE + 1
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        let starts = rows.into_iter().map(ListedRow::into_start);
        let starts = starts.collect::<Result<Vec<_>>>()?;
        Ok(page(starts, |start| start.counter.to_string()))
    }

    /// Ends the start that lives, and whatever is asked or decided beside it. Returns which
    /// one it was.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn end(&mut self, endpoint: Uuid) -> Result<Option<StartHash>> {
        let ended = sqlx::query_scalar!(
            "UPDATE endpoint_starts SET ended_at = now()
             WHERE tenant_id = $1 AND endpoint_id = $2 AND ended_at IS NULL RETURNING hash",
            self.0.tenant,
            endpoint
        )
        .fetch_optional(&mut *self.0.inner)
        .await?;
        sqlx::query!(
            "UPDATE endpoints SET left_at = now()
             WHERE tenant_id = $1 AND endpoint_id = $2 AND left_at IS NULL",
            self.0.tenant,
            endpoint
        )
        .execute(&mut *self.0.inner)
        .await?;
        self.0.disputes().end(endpoint).await?;
        self.0.presence_questions().drop(endpoint).await?;
        sqlx::query!(
            "DELETE FROM endpoint_streams WHERE tenant_id = $1 AND endpoint_id = $2",
            self.0.tenant,
            endpoint
        )
        .execute(&mut *self.0.inner)
        .await?;
        ended.map(|hash| Ok(StartHash(fixed(hash)?))).transpose()
    }

    /// Records a chain's latest link, and what it is answered with when it comes again.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn set_head(
        &mut self,
        endpoint: Uuid,
        link: &SignedLink,
        answer: Option<&Value>,
    ) -> Result<()> {
        let (start, mark) = (link.head().of().start, link.mark());
        sqlx::query!(
            "UPDATE endpoint_starts SET head_k = $4, head_hash = $5, head_link = $6,
                    head_answer = $7, head_at = now()
             WHERE tenant_id = $1 AND endpoint_id = $2 AND hash = $3",
            self.0.tenant,
            endpoint,
            &start.0[..],
            to_i64(mark.k)?,
            &mark.hash.0[..],
            link.evidence().to_bytes(),
            answer
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    /// Records the link that came after its start's end.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn set_late(&mut self, endpoint: Uuid, link: &SignedLink) -> Result<()> {
        let start = link.head().of().start;
        sqlx::query!(
            "UPDATE endpoint_starts SET late_hash = $4, late_link = $5
             WHERE tenant_id = $1 AND endpoint_id = $2 AND hash = $3",
            self.0.tenant,
            endpoint,
            &start.0[..],
            &link.mark().hash.0[..],
            link.evidence().to_bytes()
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }
}

struct ListedRow {
    hash: Vec<u8>,
    counter: i64,
    host: Option<String>,
    process: Option<i64>,
    accepted_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
    head_k: i64,
    head_at: Option<DateTime<Utc>>,
}

impl ListedRow {
    fn into_start(self) -> Result<EndpointStart> {
        Ok(EndpointStart {
            start: hex::encode(self.hash),
            counter: to_u64(self.counter)?,
            host: self.host,
            process: self
                .process
                .map(u32::try_from)
                .transpose()
                .map_err(corrupt)?,
            accepted_at: self.accepted_at,
            ended_at: self.ended_at,
            links: to_u64(self.head_k)?,
            last_link_at: self.head_at,
        })
    }
}

struct Row {
    hash: Vec<u8>,
    start: Vec<u8>,
    host: Option<String>,
    process: Option<i64>,
    accepted_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
    head_k: i64,
    head_hash: Vec<u8>,
    head_link: Option<Vec<u8>>,
    head_answer: Option<Value>,
    head_at: Option<DateTime<Utc>>,
    late_hash: Option<Vec<u8>>,
    late_link: Option<Vec<u8>>,
}

impl Row {
    fn into_start(self) -> Result<StartRow> {
        Ok(StartRow {
            hash: StartHash(fixed(self.hash)?),
            start: read_start(&self.start)?,
            host: self.host,
            process: self
                .process
                .map(u32::try_from)
                .transpose()
                .map_err(corrupt)?,
            accepted_at: self.accepted_at,
            ended_at: self.ended_at,
            head: LinkMark {
                k: to_u64(self.head_k)?,
                hash: LinkHash(fixed(self.head_hash)?),
            },
            head_link: self.head_link,
            head_answer: self.head_answer,
            head_at: self.head_at,
            late: self
                .late_hash
                .map(|hash| Ok::<_, crate::StorageError>(LinkHash(fixed(hash)?)))
                .transpose()?,
            late_link: self.late_link,
        })
    }
}

/// Reads a stored start.
pub(crate) fn read_start(bytes: &[u8]) -> Result<SignedStart> {
    SignedStart::from_bytes(bytes).map_err(corrupt)
}
