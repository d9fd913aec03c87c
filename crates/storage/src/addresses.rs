//! Addresses of producers' endpoints that more than one claims: whoever claimed it first is believed
//! for as long as it is heard of. Nobody's row is written but one's own, so that no two of them wait
//! for each other.

use chrono::{DateTime, Duration, Utc};
use uuid::Uuid;

use crate::{error::Result, tx::Tx};

/// Whoever was not heard of for so many intervals of heartbeats is believed no more.
const INTERVALS: i32 = 2;

/// Another endpoint that is there with a living start, and has claimed the same address; none of
/// those that leave or are refused.
#[derive(Debug, Clone)]
pub struct AddressRival {
    /// The address.
    pub address: String,
    /// The other endpoint.
    pub rival: Uuid,
    /// Whether the other one claimed it earlier.
    pub is_earlier: bool,
    /// When the later one of the two did.
    pub since: DateTime<Utc>,
    /// When the other one was heard of.
    pub seen_at: Option<DateTime<Utc>>,
    /// The longest interval of heartbeats of the other one's pairs, in milliseconds.
    pub interval_ms: i64,
    /// And of the endpoint's own.
    pub own_interval_ms: i64,
}

impl AddressRival {
    /// Until when it is believed, if it is not heard of again.
    pub fn beats_until(&self) -> Option<DateTime<Utc>> {
        Some(self.seen_at? + self.patience())
    }

    /// Since when both would not be heard of if one had taken the other's place.
    pub fn settled_at(&self) -> DateTime<Utc> {
        self.since + self.patience()
    }

    /// How long the endpoint itself may be silent and be believed.
    pub fn own_patience(&self) -> Duration {
        Duration::milliseconds(self.own_interval_ms) * INTERVALS
    }

    fn patience(&self) -> Duration {
        Duration::milliseconds(self.interval_ms) * INTERVALS
    }
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
    /// An endpoint claims its address from now on, or goes on with the claim that it has.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn claim(&mut self, endpoint: Uuid, goes_on: bool) -> Result<()> {
        sqlx::query!(
            "UPDATE endpoints SET address_refused_at = NULL, address_claimed_at =
               CASE WHEN $3 AND address_claimed_at IS NOT NULL THEN address_claimed_at
                 ELSE clock_timestamp() END
             WHERE tenant_id = $1 AND endpoint_id = $2",
            self.0.tenant,
            endpoint,
            goes_on
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    /// Who else has claimed an endpoint's address, the first one first, at most so many.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn rivals(&mut self, endpoint: Uuid, limit: i64) -> Result<Vec<AddressRival>> {
        Ok(sqlx::query_as!(
            AddressRival,
            r#"SELECT e.address AS "address!", r.endpoint_id AS rival,
                      coalesce(r.address_claimed_at < e.address_claimed_at, false)
                        AS "is_earlier!",
                      greatest(r.address_claimed_at, e.address_claimed_at) AS "since!",
                      r.last_seen_at AS seen_at,
                      coalesce((SELECT max((p.policy ->> 'heartbeat_interval_ms')::bigint)
                        FROM pairs p WHERE p.tenant_id = $1 AND p.producer_id = r.party_id),
                        5000) AS "interval_ms!",
                      coalesce((SELECT max((p.policy ->> 'heartbeat_interval_ms')::bigint)
                        FROM pairs p WHERE p.tenant_id = $1 AND p.producer_id = e.party_id),
                        5000) AS "own_interval_ms!"
               FROM endpoints e
               JOIN endpoints r ON r.tenant_id = $1 AND r.address = e.address
                AND r.endpoint_id <> e.endpoint_id AND r.state = 'active'
                AND r.lost_at IS NULL AND r.left_at IS NULL
                AND r.phase IS DISTINCT FROM 'draining'
                AND r.address_claimed_at IS NOT NULL AND r.address_refused_at IS NULL
               JOIN endpoint_starts t ON t.tenant_id = $1 AND t.endpoint_id = r.endpoint_id
                AND t.ended_at IS NULL
               WHERE e.tenant_id = $1 AND e.endpoint_id = $2 AND e.address IS NOT NULL
               ORDER BY r.address_claimed_at LIMIT $3"#,
            self.0.tenant,
            endpoint,
            limit
        )
        .fetch_all(&mut *self.0.inner)
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
