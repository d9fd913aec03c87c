//! The endpoints of a pair's two sides, and how many bundles each has: what assignments are made
//! from. All of it costs what is live.

use std::collections::HashMap;

use armour_api::{EndpointState, Phase, ProducerPhase};
use uuid::Uuid;

use crate::{
    decode::{to_u64, word},
    error::Result,
    tx::Tx,
};

/// An endpoint of a producer that may be given bundles.
#[derive(Debug, Clone)]
pub struct ServingProducer {
    /// The endpoint.
    pub endpoint: Uuid,
    /// Its zone, if it told one.
    pub zone: Option<String>,
    /// Active bundles of the pair with it.
    pub bundles: u64,
    /// It has missed two signs of life, and may be lost.
    pub silent: bool,
    /// Whether it serves; if not, it may again in a moment.
    pub serves: bool,
}

/// An active bundle of a consumer's endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldBundle {
    /// The bundle.
    pub id: Uuid,
    /// Its pair.
    pub pair: Uuid,
    /// The producer's endpoint.
    pub producer: Uuid,
}

/// How long after a change what assignments say may still change, in seconds: consumers move step
/// by step, and ask again after each.
const STEPS: [f64; 12] = [
    2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 15.0, 20.0, 30.0, 45.0, 60.0, 120.0,
];

impl Tx {
    /// The tenant's fleets.
    pub fn fleets(&mut self) -> Fleets<'_> {
        Fleets(self)
    }
}

/// The tenant's fleets.
pub struct Fleets<'a>(&'a mut Tx);

impl Fleets<'_> {
    /// The endpoints of a producer that are there, draining ones excepted, with their bundles of a
    /// pair and whether they serve. One that was not
    /// heard of since it started does not serve yet: it may be about to fail. One that was, and
    /// has no phase, told an earlier control plane, which keeps none. Of those that claim one
    /// address the first one serves for as long as it is heard of.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn producers(&mut self, producer: Uuid, pair: Uuid) -> Result<Vec<ServingProducer>> {
        let rows = sqlx::query!(
            r#"SELECT e.endpoint_id, e.zone,
                      (SELECT count(*) FROM bundles b
                       WHERE b.tenant_id = $1 AND b.pair_id = $3 AND b.state = 'active'
                         AND b.producer_endpoint_id = e.endpoint_id) AS "bundles!",
                      coalesce(e.last_seen_at < now() - interval '1 second'
                        - 2 * make_interval(secs => (SELECT coalesce(
                            max((p.policy ->> 'heartbeat_interval_ms')::bigint), 5000) / 1000.0
                          FROM pairs p WHERE p.tenant_id = $1 AND p.producer_id = $2)), true)
                        AS "silent!",
                      coalesce(e.phase = 'serving', e.last_seen_at > t.accepted_at, false)
                        AS "serves!"
               FROM endpoints e
               JOIN endpoint_starts t ON t.tenant_id = $1 AND t.endpoint_id = e.endpoint_id
                AND t.ended_at IS NULL
               WHERE e.tenant_id = $1 AND e.party_id = $2 AND e.state = 'active'
                 AND e.lost_at IS NULL AND e.left_at IS NULL
                 AND e.phase IS DISTINCT FROM 'draining'
                 AND e.address_refused_at IS NULL
                 AND NOT EXISTS (SELECT FROM endpoints r
                   JOIN endpoint_starts t ON t.tenant_id = $1 AND t.endpoint_id = r.endpoint_id
                    AND t.ended_at IS NULL
                   WHERE r.tenant_id = $1 AND r.address = e.address
                     AND r.endpoint_id <> e.endpoint_id AND r.state = 'active'
                     AND r.lost_at IS NULL AND r.left_at IS NULL
                     AND r.phase IS DISTINCT FROM 'draining'
                     AND r.address_claimed_at IS NOT NULL AND r.address_refused_at IS NULL
                     AND CASE WHEN r.address_claimed_at < e.address_claimed_at
                       THEN coalesce(r.last_seen_at > now() - 2 * make_interval(secs =>
                         coalesce((SELECT max((p.policy ->> 'heartbeat_interval_ms')::bigint) FROM pairs p
                           WHERE p.tenant_id = $1 AND p.producer_id = r.party_id), 5000) / 1000.0),
                         false)
                       ELSE coalesce(e.last_seen_at <= now() - 2 * make_interval(secs =>
                         coalesce((SELECT max((p.policy ->> 'heartbeat_interval_ms')::bigint) FROM pairs p
                           WHERE p.tenant_id = $1 AND p.producer_id = e.party_id), 5000) / 1000.0),
                         true) END)
               ORDER BY e.endpoint_id"#,
            self.0.tenant,
            producer,
            pair
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(ServingProducer {
                    endpoint: row.endpoint_id,
                    zone: row.zone,
                    bundles: to_u64(row.bundles)?,
                    silent: row.silent,
                    serves: row.serves,
                })
            })
            .collect()
    }

    /// How many endpoints of a consumer, or of a producer, are there.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn count(&mut self, party: Uuid) -> Result<u64> {
        let count = sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM endpoints
               WHERE tenant_id = $1 AND party_id = $2 AND state = 'active'
                 AND lost_at IS NULL AND left_at IS NULL"#,
            self.0.tenant,
            party
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        to_u64(count)
    }

    /// The active bundles of a consumer's endpoint, by pair and id.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn held(&mut self, consumer: Uuid) -> Result<Vec<HeldBundle>> {
        let rows = sqlx::query!(
            "SELECT bundle_id, pair_id, producer_endpoint_id FROM bundles
             WHERE tenant_id = $1 AND consumer_endpoint_id = $2 AND state = 'active'
             ORDER BY pair_id, bundle_id",
            self.0.tenant,
            consumer
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| HeldBundle {
                id: row.bundle_id,
                pair: row.pair_id,
                producer: row.producer_endpoint_id,
            })
            .collect())
    }

    /// What these endpoints of producers are for callers. One that has started and was not heard
    /// of since does not serve yet.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn phases(&mut self, producers: &[Uuid]) -> Result<HashMap<Uuid, ProducerPhase>> {
        let rows = sqlx::query!(
            r#"SELECT e.endpoint_id, e.state, e.phase,
                      EXISTS (SELECT FROM endpoint_starts s
                        WHERE s.tenant_id = $1 AND s.endpoint_id = e.endpoint_id
                          AND s.ended_at IS NULL AND e.last_seen_at > s.accepted_at) AS "heard!",
                      (e.lost_at IS NOT NULL OR e.address_refused_at IS NOT NULL
                       OR EXISTS (SELECT FROM endpoints r
                         JOIN endpoint_starts t ON t.tenant_id = $1 AND t.endpoint_id = r.endpoint_id
                          AND t.ended_at IS NULL
                         WHERE r.tenant_id = $1 AND r.address = e.address
                           AND r.endpoint_id <> e.endpoint_id AND r.state = 'active'
                           AND r.lost_at IS NULL AND r.left_at IS NULL
                           AND r.phase IS DISTINCT FROM 'draining'
                           AND r.address_claimed_at IS NOT NULL AND r.address_refused_at IS NULL
                           AND CASE WHEN r.address_claimed_at < e.address_claimed_at
                             THEN coalesce(r.last_seen_at > now() - 2 * make_interval(secs =>
                               coalesce((SELECT max((p.policy ->> 'heartbeat_interval_ms')::bigint) FROM pairs p
                                 WHERE p.tenant_id = $1 AND p.producer_id = r.party_id), 5000) / 1000.0),
                               false)
                             ELSE coalesce(e.last_seen_at <= now() - 2 * make_interval(secs =>
                               coalesce((SELECT max((p.policy ->> 'heartbeat_interval_ms')::bigint) FROM pairs p
                                 WHERE p.tenant_id = $1 AND p.producer_id = e.party_id), 5000) / 1000.0),
                               true) END)
                       OR NOT EXISTS (SELECT FROM endpoint_starts s
                         WHERE s.tenant_id = $1 AND s.endpoint_id = e.endpoint_id
                           AND s.ended_at IS NULL)) AS "gone!"
               FROM endpoints e WHERE e.tenant_id = $1 AND e.endpoint_id = ANY($2)"#,
            self.0.tenant,
            producers
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        rows.into_iter()
            .map(|row| {
                let state: EndpointState = word(&row.state)?;
                let phase = row.phase.as_deref().map(word::<Phase>).transpose()?;
                let phase = match phase {
                    _ if row.gone || state != EndpointState::Active => ProducerPhase::Gone,
                    None if row.heard => ProducerPhase::Serving,
                    None | Some(Phase::NotServing) => ProducerPhase::NotServing,
                    Some(Phase::Serving) => ProducerPhase::Serving,
                    Some(Phase::Draining) => ProducerPhase::Draining,
                };
                Ok((row.endpoint_id, phase))
            })
            .collect()
    }

    /// Whether an endpoint of a producer is refused for an address that another one claims too.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn is_address_shared(&mut self, producer: Uuid) -> Result<bool> {
        Ok(sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM endpoints
                 WHERE tenant_id = $1 AND party_id = $2 AND state = 'active'
                   AND lost_at IS NULL AND left_at IS NULL
                   AND address_refused_at IS NOT NULL) AS "shared!""#,
            self.0.tenant,
            producer
        )
        .fetch_one(&mut *self.0.inner)
        .await?)
    }

    /// A number that is another one whenever assignments may be others than when it was read: with
    /// each change, and step by step for two minutes after it.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn version(&mut self) -> Result<u64> {
        let row = sqlx::query!(
            r#"SELECT assignments,
                      extract(epoch FROM now() - assignments_at)::float8 AS "age!"
               FROM journals WHERE tenant_id = $1"#,
            self.0.tenant
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        let step = STEPS.iter().filter(|step| **step <= row.age).count();
        Ok(to_u64(row.assignments)? * (STEPS.len() as u64 + 1) + step as u64)
    }

    /// Says that what assignments depend on has changed. It takes the journal's lock, and so comes
    /// with what is told of the change.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn change(&mut self) -> Result<()> {
        sqlx::query!(
            "UPDATE journals SET assignments = assignments + 1, assignments_at = now()
             WHERE tenant_id = $1",
            self.0.tenant
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }
}
