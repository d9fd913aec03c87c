//! Addresses of producers' endpoints that more than one claims: of those that are there, whoever
//! claimed it last is believed, and none once an earlier one is refused for it. Nobody's row is
//! written but one's own, so that no two of them wait for each other.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{error::Result, tx::Tx};

/// Another endpoint that is there, and claims the same address; the last one that does.
#[derive(Debug, Clone)]
pub struct AddressRival {
    /// The address.
    pub address: String,
    /// The other endpoint.
    pub rival: Uuid,
    /// Whether the other one claimed it later.
    pub is_later: bool,
    /// When the later one of the two did.
    pub since: DateTime<Utc>,
    /// When the other one was heard of.
    pub rival_seen_at: DateTime<Utc>,
    /// Whether either is refused for it.
    pub is_refused: bool,
    /// The longest interval of heartbeats of the producer's pairs, in milliseconds.
    pub interval_ms: i64,
}

impl Tx {
    /// Addresses of the tenant's endpoints.
    pub fn addresses(&mut self) -> Addresses<'_> {
        Addresses(self)
    }
}

/// Addresses of the tenant's endpoints.
pub struct Addresses<'a>(&'a mut Tx);

impl Addresses<'_> {
    /// An endpoint claims its address from now on. Returns it, and who else does, if any.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn claim(&mut self, endpoint: Uuid) -> Result<Vec<(Uuid, String)>> {
        sqlx::query!(
            "UPDATE endpoints SET address_claimed_at = clock_timestamp(), address_refused_at = NULL
             WHERE tenant_id = $1 AND endpoint_id = $2",
            self.0.tenant,
            endpoint
        )
        .execute(&mut *self.0.inner)
        .await?;
        let rows = sqlx::query!(
            r#"SELECT r.endpoint_id, e.address AS "address!"
               FROM endpoints e
               JOIN endpoints r ON r.tenant_id = $1 AND r.address = e.address
                AND r.endpoint_id <> e.endpoint_id AND r.state = 'active'
                AND r.lost_at IS NULL AND r.left_at IS NULL
               WHERE e.tenant_id = $1 AND e.endpoint_id = $2 AND e.address IS NOT NULL
               ORDER BY r.endpoint_id"#,
            self.0.tenant,
            endpoint
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| (row.endpoint_id, row.address))
            .collect())
    }

    /// Who else is there with an endpoint's address, if anybody; none of those that leave.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn rival(&mut self, endpoint: Uuid) -> Result<Option<AddressRival>> {
        Ok(sqlx::query_as!(
            AddressRival,
            r#"SELECT e.address AS "address!", r.endpoint_id AS rival,
                      coalesce(r.address_claimed_at, r.created_at)
                        > coalesce(e.address_claimed_at, e.created_at) AS "is_later!",
                      greatest(coalesce(r.address_claimed_at, r.created_at),
                        coalesce(e.address_claimed_at, e.created_at)) AS "since!",
                      coalesce(r.last_seen_at, r.created_at) AS "rival_seen_at!",
                      (e.address_refused_at IS NOT NULL OR r.address_refused_at IS NOT NULL)
                        AS "is_refused!",
                      coalesce((SELECT max((p.policy ->> 'heartbeat_interval_ms')::bigint)
                        FROM pairs p WHERE p.tenant_id = $1 AND p.producer_id = e.party_id),
                        5000) AS "interval_ms!"
               FROM endpoints e
               JOIN endpoints r ON r.tenant_id = $1 AND r.address = e.address
                AND r.endpoint_id <> e.endpoint_id AND r.state = 'active'
                AND r.lost_at IS NULL AND r.left_at IS NULL
                AND r.phase IS DISTINCT FROM 'draining'
               WHERE e.tenant_id = $1 AND e.endpoint_id = $2 AND e.address IS NOT NULL
               ORDER BY coalesce(r.address_claimed_at, r.created_at) DESC LIMIT 1"#,
            self.0.tenant,
            endpoint
        )
        .fetch_optional(&mut *self.0.inner)
        .await?)
    }

    /// Refuses an endpoint's address, or takes it again. Returns whether that changed it.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn set_refused(&mut self, endpoint: Uuid, refused: bool) -> Result<bool> {
        let done = sqlx::query!(
            "UPDATE endpoints SET address_refused_at = CASE WHEN $3 THEN now() END
             WHERE tenant_id = $1 AND endpoint_id = $2 AND (address_refused_at IS NOT NULL) <> $3",
            self.0.tenant,
            endpoint,
            refused
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(done.rows_affected() == 1)
    }
}
