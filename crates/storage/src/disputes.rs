//! Two starts of an endpoint of which both live, and starts that were chosen against.

use armour_api::{EndpointStart, Page, StartDispute};
use armour_protocol::v2::identity::start::{SignedStart, StartHash};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    decode::{corrupt, fixed, to_u64},
    error::Result,
    page::{PAGE, page},
    starts::{NewStart, read_start},
    tx::Tx,
};

/// A start that was refused because an earlier one lives.
#[derive(Debug, Clone)]
pub struct DisputeRow {
    /// H of the refused start.
    pub newer: StartHash,
    /// As it was signed.
    pub start: SignedStart,
    /// The address that it told, if it is a producer's.
    pub address: Option<String>,
    /// Where it runs, as it says itself.
    pub host: Option<String>,
    /// Its process's number there.
    pub process: Option<u32>,
    /// When it was refused first.
    pub since: DateTime<Utc>,
}

impl Tx {
    /// Disputes between starts of the tenant's endpoints.
    pub fn disputes(&mut self) -> Disputes<'_> {
        Disputes(self)
    }
}

/// Disputes between starts of the tenant's endpoints.
pub struct Disputes<'a>(&'a mut Tx);

impl Disputes<'_> {
    /// Records that this start was refused. At most one dispute of an endpoint lasts.
    ///
    /// # Errors
    /// `Exists` if one does.
    pub async fn begin(&mut self, newer: &NewStart<'_>, address: Option<&str>) -> Result<()> {
        sqlx::query!(
            "INSERT INTO start_disputes (tenant_id, endpoint_id, newer, start, address, host,
                                         process)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            self.0.tenant,
            newer.endpoint,
            &newer.start.unverified().hash().0[..],
            newer.start.to_bytes(),
            address,
            newer.host,
            newer.process.map(i64::from)
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    /// The dispute of an endpoint's, if one lasts.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn find(&mut self, endpoint: Uuid) -> Result<Option<DisputeRow>> {
        let row = sqlx::query!(
            "SELECT newer, start, address, host, process, since FROM start_disputes
             WHERE tenant_id = $1 AND endpoint_id = $2",
            self.0.tenant,
            endpoint
        )
        .fetch_optional(&mut *self.0.inner)
        .await?;
        row.map(|row| {
            Ok(DisputeRow {
                newer: StartHash(fixed(row.newer)?),
                start: read_start(&row.start)?,
                address: row.address,
                host: row.host,
                process: process(row.process)?,
                since: row.since,
            })
        })
        .transpose()
    }

    /// The disputes that last, as people see them, in the order of their endpoints' ids, from
    /// after one of them if one is given.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn list(&mut self, after: Option<Uuid>) -> Result<Page<StartDispute>> {
        let rows = sqlx::query_as!(
            ListedRow,
            r#"SELECT d.endpoint_id, d.since, d.newer, d.start, d.address, d.host, d.process,
                      s.hash AS "older_hash?", s.counter AS "older_counter?",
                      s.host AS older_host, s.process AS older_process,
                      s.accepted_at AS "older_accepted_at?", s.head_k AS "older_head_k?",
                      s.head_at AS older_head_at
               FROM start_disputes d
               LEFT JOIN endpoint_starts s ON s.tenant_id = d.tenant_id
                 AND s.endpoint_id = d.endpoint_id AND s.ended_at IS NULL
               WHERE d.tenant_id = $1 AND ($2::uuid IS NULL OR d.endpoint_id > $2)
               ORDER BY d.endpoint_id LIMIT $3"#,
            self.0.tenant,
            after,
            PAGE + 1
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        let disputes = rows.into_iter().map(ListedRow::into_dispute);
        let disputes = disputes.collect::<Result<Vec<_>>>()?;
        Ok(page(disputes, |dispute| dispute.endpoint_id.to_string()))
    }

    /// Ends an endpoint's dispute, if one lasts.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn end(&mut self, endpoint: Uuid) -> Result<()> {
        sqlx::query!(
            "DELETE FROM start_disputes WHERE tenant_id = $1 AND endpoint_id = $2",
            self.0.tenant,
            endpoint
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    /// Records that a start may never be the endpoint.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn decline(&mut self, endpoint: Uuid, start: StartHash) -> Result<()> {
        sqlx::query!(
            "INSERT INTO declined_starts (tenant_id, endpoint_id, hash) VALUES ($1, $2, $3)
             ON CONFLICT DO NOTHING",
            self.0.tenant,
            endpoint,
            &start.0[..]
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    /// Whether a start may never be the endpoint.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn is_declined(&mut self, endpoint: Uuid, start: StartHash) -> Result<bool> {
        Ok(sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM declined_starts
               WHERE tenant_id = $1 AND endpoint_id = $2 AND hash = $3) AS "declined!""#,
            self.0.tenant,
            endpoint,
            &start.0[..]
        )
        .fetch_one(&mut *self.0.inner)
        .await?)
    }
}

struct ListedRow {
    endpoint_id: Uuid,
    since: DateTime<Utc>,
    newer: Vec<u8>,
    start: Vec<u8>,
    address: Option<String>,
    host: Option<String>,
    process: Option<i64>,
    older_hash: Option<Vec<u8>>,
    older_counter: Option<i64>,
    older_host: Option<String>,
    older_process: Option<i64>,
    older_accepted_at: Option<DateTime<Utc>>,
    older_head_k: Option<i64>,
    older_head_at: Option<DateTime<Utc>>,
}

impl ListedRow {
    fn into_dispute(self) -> Result<StartDispute> {
        let of_older = (
            self.older_hash,
            self.older_counter,
            self.older_accepted_at,
            self.older_head_k,
        );
        let older = match of_older {
            (Some(hash), Some(counter), Some(accepted_at), Some(links)) => Some(EndpointStart {
                start: hex::encode(hash),
                counter: to_u64(counter)?,
                host: self.older_host,
                process: process(self.older_process)?,
                accepted_at,
                ended_at: None,
                links: to_u64(links)?,
                last_link_at: self.older_head_at,
            }),
            _ => None,
        };
        Ok(StartDispute {
            endpoint_id: self.endpoint_id,
            since: self.since,
            older,
            newer: hex::encode(self.newer),
            newer_counter: read_start(&self.start)?.unverified().counter(),
            newer_host: self.host,
            newer_process: process(self.process)?,
            newer_address: self.address,
        })
    }
}

fn process(number: Option<i64>) -> Result<Option<u32>> {
    number.map(u32::try_from).transpose().map_err(corrupt)
}
