//! Endpoints: enrolled agents and their public keys.

use std::collections::HashMap;

use armour_api::{AuditEntry, Endpoint, EndpointState, Page, Phase, Role};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    decode::{corrupt, word},
    error::{Result, StorageError},
    page::{PAGE, page},
    tx::Tx,
};

/// An endpoint to be added.
pub struct NewEndpoint<'a> {
    /// Its id.
    pub id: Uuid,
    /// Its side.
    pub role: Role,
    /// The producer or consumer it serves.
    pub party: Uuid,
    /// Its name.
    pub name: &'a str,
    /// Ed25519 public key, 32 bytes.
    pub signing_key: &'a [u8],
    /// X25519 public key, 32 bytes.
    pub kem_key: &'a [u8],
    /// A producer's address.
    pub address: Option<&'a str>,
    /// The agent's version.
    pub version: &'a str,
    /// The audit entry that holds its keys.
    pub enrol_entry: &'a AuditEntry,
}

impl Tx {
    /// The tenant's endpoints.
    pub fn endpoints(&mut self) -> Endpoints<'_> {
        Endpoints(self)
    }
}

/// The tenant's endpoints.
pub struct Endpoints<'a>(&'a mut Tx);

impl Endpoints<'_> {
    /// Adds an endpoint.
    ///
    /// # Errors
    /// `NotFound` if the party does not exist.
    pub async fn create(&mut self, new: &NewEndpoint<'_>) -> Result<Endpoint> {
        sqlx::query!(
            "INSERT INTO endpoints (tenant_id, endpoint_id, role, party_id, name, signing_key,
                                    kem_key, address, version, enrol_seq, enrol_entry,
                                    last_seen_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, now())",
            self.0.tenant,
            new.id,
            new.role.into_str(),
            new.party,
            new.name,
            new.signing_key,
            new.kem_key,
            new.address,
            new.version,
            new.enrol_entry.seq,
            serde_json::json!(new.enrol_entry)
        )
        .execute(&mut *self.0.inner)
        .await?;
        self.find(new.id).await
    }

    /// One endpoint.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn find(&mut self, id: Uuid) -> Result<Endpoint> {
        sqlx::query_as!(
            EndpointRow,
            "SELECT tenant_id, endpoint_id, role, party_id, name, signing_key, kem_key, address, version,
                    state, created_at, last_seen_at, lost_at, enrol_seq, last_error, last_error_at,
                    phase, zone, left_at, plain_calls
             FROM endpoints WHERE tenant_id = $1 AND endpoint_id = $2",
            self.0.tenant,
            id
        )
        .fetch_one(&mut *self.0.inner)
        .await?
        .into_endpoint()
    }

    /// Endpoints in order of id.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn list(&mut self, after: Option<Uuid>) -> Result<Page<Endpoint>> {
        let rows = sqlx::query_as!(
            EndpointRow,
            "SELECT tenant_id, endpoint_id, role, party_id, name, signing_key, kem_key, address, version,
                    state, created_at, last_seen_at, lost_at, enrol_seq, last_error, last_error_at,
                    phase, zone, left_at, plain_calls
             FROM endpoints WHERE tenant_id = $1 AND ($2::uuid IS NULL OR endpoint_id > $2)
             ORDER BY endpoint_id LIMIT $3",
            self.0.tenant,
            after,
            PAGE + 1
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        let endpoints = rows
            .into_iter()
            .map(EndpointRow::into_endpoint)
            .collect::<Result<Vec<_>>>()?;
        Ok(page(endpoints, |endpoint| endpoint.id.to_string()))
    }

    /// The states of those of these endpoints that exist.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn states(&mut self, ids: &[Uuid]) -> Result<HashMap<Uuid, EndpointState>> {
        let rows = sqlx::query!(
            "SELECT endpoint_id, state FROM endpoints
             WHERE tenant_id = $1 AND endpoint_id = ANY($2)",
            self.0.tenant,
            ids
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        rows.into_iter()
            .map(|row| Ok((row.endpoint_id, word(&row.state)?)))
            .collect()
    }

    /// How many are of use: those that were lost are not, unless they are heard of again.
    pub(crate) async fn count_active(&mut self) -> Result<i64> {
        Ok(sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM endpoints
               WHERE tenant_id = $1 AND state = 'active' AND lost_at IS NULL"#,
            self.0.tenant
        )
        .fetch_one(&mut *self.0.inner)
        .await?)
    }

    /// The audit entry that holds an endpoint's keys, whether the log still keeps it
    /// or not.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn enrolment_entry(&mut self, id: Uuid) -> Result<AuditEntry> {
        let entry = sqlx::query_scalar!(
            "SELECT enrol_entry FROM endpoints WHERE tenant_id = $1 AND endpoint_id = $2",
            self.0.tenant,
            id
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        serde_json::from_value(entry).map_err(corrupt)
    }

    /// Locks an endpoint's row until the transaction ends, against draws with it, too: whoever may
    /// end the endpoint or its start holds it. Endpoints' rows come before pairs', and a consumer's
    /// before a producer's.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn lock(&mut self, id: Uuid) -> Result<EndpointState> {
        let state = sqlx::query_scalar!(
            "SELECT state FROM endpoints WHERE tenant_id = $1 AND endpoint_id = $2 FOR UPDATE",
            self.0.tenant,
            id
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        word(&state)
    }

    /// Locks an endpoint's row against whoever judges its starts and links, but not against draws
    /// with it: its signs of life wait for none of them. Whoever finds then that it ends locks it
    /// again, by [`Self::lock`], before anything else.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn lock_living(&mut self, id: Uuid) -> Result<EndpointState> {
        let states = self.lock_all_living(&[id]).await?;
        states.get(&id).copied().ok_or(StorageError::NotFound)
    }

    /// As [`Endpoints::lock_living`], those of these endpoints that exist, in order.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn lock_all_living(&mut self, ids: &[Uuid]) -> Result<HashMap<Uuid, EndpointState>> {
        let rows = sqlx::query!(
            "SELECT endpoint_id, state FROM endpoints
             WHERE tenant_id = $1 AND endpoint_id = ANY($2)
             ORDER BY endpoint_id FOR NO KEY UPDATE",
            self.0.tenant,
            ids
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        rows.into_iter()
            .map(|row| Ok((row.endpoint_id, word(&row.state)?)))
            .collect()
    }

    /// Locks endpoints' rows, in order, against whoever ends them or their starts; not against
    /// their signs of life.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn lock_to_draw(&mut self, ids: &[Uuid]) -> Result<()> {
        sqlx::query!(
            "SELECT endpoint_id FROM endpoints WHERE tenant_id = $1 AND endpoint_id = ANY($2)
             ORDER BY endpoint_id FOR KEY SHARE",
            self.0.tenant,
            ids
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    /// When an endpoint last began to serve again, or ceased to, if it ever did.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn phase_at(&mut self, id: Uuid) -> Result<Option<DateTime<Utc>>> {
        Ok(sqlx::query_scalar!(
            "SELECT phase_at FROM endpoints WHERE tenant_id = $1 AND endpoint_id = $2",
            self.0.tenant,
            id
        )
        .fetch_one(&mut *self.0.inner)
        .await?)
    }

    /// Keeps what an endpoint is for callers, and where it runs; and, if it begins to serve again
    /// or ceases to, that it does so now.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn set_phase(
        &mut self,
        id: Uuid,
        phase: Phase,
        zone: Option<&str>,
        is_turn: bool,
    ) -> Result<()> {
        sqlx::query!(
            "UPDATE endpoints SET phase = $3, zone = $4,
               phase_at = CASE WHEN $5 THEN now() ELSE phase_at END
             WHERE tenant_id = $1 AND endpoint_id = $2",
            self.0.tenant,
            id,
            phase.into_str(),
            zone,
            is_turn
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    /// Keeps how many calls a permissive agent has passed on without protection; none if it is not
    /// permissive.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn set_plain_calls(&mut self, id: Uuid, calls: Option<u64>) -> Result<()> {
        let calls = calls.map(|calls| i64::try_from(calls).unwrap_or(i64::MAX));
        sqlx::query!(
            "UPDATE endpoints SET plain_calls = $3 WHERE tenant_id = $1 AND endpoint_id = $2",
            self.0.tenant,
            id,
            calls
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    /// Marks an endpoint as one whose keys somebody else holds, and ends its living start.
    /// Returns whether that changed it.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn collide(&mut self, id: Uuid) -> Result<bool> {
        let done = sqlx::query!(
            "UPDATE endpoints SET state = 'collided'
             WHERE tenant_id = $1 AND endpoint_id = $2 AND state = 'active'",
            self.0.tenant,
            id
        )
        .execute(&mut *self.0.inner)
        .await?;
        self.0.starts().end(id).await?;
        Ok(done.rows_affected() == 1)
    }

    /// Sets where a producer's endpoint is reached. Returns whether that changed it.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn set_address(&mut self, id: Uuid, address: &str) -> Result<bool> {
        let done = sqlx::query!(
            "UPDATE endpoints SET address = $3
             WHERE tenant_id = $1 AND endpoint_id = $2 AND address IS DISTINCT FROM $3",
            self.0.tenant,
            id,
            address
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Keeps a party's certificate of an endpoint's keys.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn set_certificate(&mut self, id: Uuid, certificate: &[u8]) -> Result<()> {
        sqlx::query_scalar!(
            "UPDATE endpoints SET certificate = $3
             WHERE tenant_id = $1 AND endpoint_id = $2 RETURNING endpoint_id",
            self.0.tenant,
            id,
            certificate
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    /// A party's certificate of an endpoint's keys, if one was given.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn certificate(&mut self, id: Uuid) -> Result<Option<Vec<u8>>> {
        Ok(sqlx::query_scalar!(
            "SELECT certificate FROM endpoints WHERE tenant_id = $1 AND endpoint_id = $2",
            self.0.tenant,
            id
        )
        .fetch_one(&mut *self.0.inner)
        .await?)
    }

    /// Records that an endpoint was heard of. Returns whether it had been lost.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn touch(&mut self, id: Uuid) -> Result<bool> {
        let lost = sqlx::query_scalar!(
            r#"UPDATE endpoints e SET last_seen_at = now(), lost_at = NULL, left_at = NULL
               FROM (SELECT lost_at FROM endpoints
                     WHERE tenant_id = $1 AND endpoint_id = $2 FOR NO KEY UPDATE) AS before
               WHERE e.tenant_id = $1 AND e.endpoint_id = $2
               RETURNING before.lost_at IS NOT NULL AS "lost!""#,
            self.0.tenant,
            id
        )
        .fetch_optional(&mut *self.0.inner)
        .await?;
        Ok(lost.unwrap_or(false))
    }

    /// Records what went wrong at an endpoint.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn record_error(&mut self, id: Uuid, error: &str) -> Result<()> {
        sqlx::query!(
            "UPDATE endpoints SET last_error = $3, last_error_at = now()
             WHERE tenant_id = $1 AND endpoint_id = $2",
            self.0.tenant,
            id,
            error
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    /// Revokes an endpoint. Returns whether that changed it.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn revoke(&mut self, id: Uuid) -> Result<bool> {
        let done = sqlx::query!(
            "UPDATE endpoints SET state = 'revoked'
             WHERE tenant_id = $1 AND endpoint_id = $2 AND state <> 'revoked'",
            self.0.tenant,
            id
        )
        .execute(&mut *self.0.inner)
        .await?;
        self.0.starts().end(id).await?;
        Ok(done.rows_affected() == 1)
    }

    /// Revokes every endpoint.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn revoke_all(&mut self) -> Result<()> {
        sqlx::query!(
            "UPDATE endpoints SET state = 'revoked'
             WHERE tenant_id = $1 AND endpoint_id IN (
                 SELECT endpoint_id FROM endpoints WHERE tenant_id = $1
                 ORDER BY endpoint_id FOR UPDATE)",
            self.0.tenant
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }
}

struct EndpointRow {
    tenant_id: Uuid,
    endpoint_id: Uuid,
    role: String,
    party_id: Uuid,
    name: String,
    signing_key: Vec<u8>,
    kem_key: Vec<u8>,
    address: Option<String>,
    version: String,
    state: String,
    created_at: DateTime<Utc>,
    last_seen_at: Option<DateTime<Utc>>,
    lost_at: Option<DateTime<Utc>>,
    enrol_seq: i64,
    last_error: Option<String>,
    last_error_at: Option<DateTime<Utc>>,
    phase: Option<String>,
    zone: Option<String>,
    left_at: Option<DateTime<Utc>>,
    plain_calls: Option<i64>,
}

impl EndpointRow {
    fn into_endpoint(self) -> Result<Endpoint> {
        Ok(Endpoint {
            id: self.endpoint_id,
            tenant_id: self.tenant_id,
            role: word(&self.role)?,
            party_id: self.party_id,
            name: self.name,
            signing_key: STANDARD.encode(self.signing_key),
            kem_key: STANDARD.encode(self.kem_key),
            address: self.address,
            state: word(&self.state)?,
            version: self.version,
            created_at: self.created_at,
            last_seen_at: self.last_seen_at,
            lost_at: self.lost_at,
            enrol_seq: self.enrol_seq,
            last_error: self.last_error,
            last_error_at: self.last_error_at,
            phase: self.phase.as_deref().map(word).transpose()?,
            zone: self.zone,
            left_at: self.left_at,
            // A count, which is not negative.
            plain_calls: self.plain_calls.and_then(|calls| calls.try_into().ok()),
        })
    }
}
