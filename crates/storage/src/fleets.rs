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
    /// The consumer's endpoint.
    pub consumer: Uuid,
    /// The producer's endpoint.
    pub producer: Uuid,
}

/// For how long after a change consumers' endpoints move, in seconds.
const MOVING_S: f64 = 120.0;
/// How long a step of that is, in seconds: one interval of signs of life.
const STEP_S: f64 = 5.0;

/// A pair of a consumer whose producer's endpoints have changed lately, so that bundles move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MovingPair {
    /// The pair.
    pub pair: Uuid,
    /// Its producer.
    pub producer: Uuid,
    /// How often that has changed.
    pub change: u64,
    /// Which step after the last change it is.
    pub step: u32,
}

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
            r#"SELECT e.endpoint_id, e.zone, coalesce(held.bundles, 0) AS "bundles!",
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
               LEFT JOIN (SELECT producer_endpoint_id, count(*) AS bundles FROM bundles
                          WHERE tenant_id = $1 AND pair_id = $3 AND state = 'active'
                          GROUP BY producer_endpoint_id) held
                ON held.producer_endpoint_id = e.endpoint_id
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

    /// The active bundles of consumers' endpoints, by pair and id.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn held(&mut self, consumers: &[Uuid]) -> Result<Vec<HeldBundle>> {
        let rows = sqlx::query!(
            "SELECT bundle_id, pair_id, consumer_endpoint_id, producer_endpoint_id FROM bundles
             WHERE tenant_id = $1 AND consumer_endpoint_id = ANY($2) AND state = 'active'
             ORDER BY pair_id, bundle_id",
            self.0.tenant,
            consumers
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| HeldBundle {
                id: row.bundle_id,
                pair: row.pair_id,
                consumer: row.consumer_endpoint_id,
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

    /// How often what assignments depend on has changed at the producers of a consumer's pairs,
    /// all together; and whether it has so lately that bundles may have to move.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn changes(&mut self, consumer: Uuid) -> Result<(u64, bool)> {
        let row = sqlx::query!(
            r#"SELECT coalesce(sum(c.number), 0)::bigint AS "changes!",
                      coalesce(max(c.changed_at) > now() - make_interval(secs => $3), false)
                        AS "moving!"
               FROM pairs p
               JOIN fleet_changes c ON c.tenant_id = $1 AND c.party_id = p.producer_id
               WHERE p.tenant_id = $1 AND p.consumer_id = $2"#,
            self.0.tenant,
            consumer,
            MOVING_S
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        Ok((to_u64(row.changes)?, row.moving))
    }

    /// The pairs of a consumer whose bundles may have to move now.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn moving(&mut self, consumer: Uuid) -> Result<Vec<MovingPair>> {
        let rows = sqlx::query!(
            r#"SELECT p.pair_id, p.producer_id, c.number,
                      extract(epoch FROM now() - c.changed_at)::float8 AS "age!"
               FROM pairs p
               JOIN fleet_changes c ON c.tenant_id = $1 AND c.party_id = p.producer_id
               WHERE p.tenant_id = $1 AND p.consumer_id = $2
                 AND c.changed_at > now() - make_interval(secs => $3)"#,
            self.0.tenant,
            consumer,
            MOVING_S
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        rows.into_iter()
            .map(|row| {
                let steps = (row.age.clamp(0.0, MOVING_S) / STEP_S).floor();
                Ok(MovingPair {
                    pair: row.pair_id,
                    producer: row.producer_id,
                    change: to_u64(row.number)?,
                    step: steps as u32,
                })
            })
            .collect()
    }

    /// Says that what assignments depend on has changed at these producers. Whoever calls it has
    /// the journal's lock already, so that no two wait for each other.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn change(&mut self, producers: &[Uuid]) -> Result<()> {
        sqlx::query!(
            "INSERT INTO fleet_changes AS c (tenant_id, party_id)
             SELECT DISTINCT $1::uuid, party FROM unnest($2::uuid[]) AS changed(party)
             ON CONFLICT (tenant_id, party_id)
             DO UPDATE SET number = c.number + 1, changed_at = now()",
            self.0.tenant,
            producers
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    /// How many endpoints of a producer's consumers are there, counted to this limit.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn consumers_of(&mut self, producer: Uuid, limit: u32) -> Result<u32> {
        let count = sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM (
                 SELECT FROM pairs p
                 JOIN endpoints e ON e.tenant_id = $1 AND e.party_id = p.consumer_id
                  AND e.state = 'active' AND e.lost_at IS NULL AND e.left_at IS NULL
                 WHERE p.tenant_id = $1 AND p.producer_id = $2
                 LIMIT $3) there"#,
            self.0.tenant,
            producer,
            i64::from(limit)
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        Ok(u32::try_from(count).unwrap_or(limit))
    }
}
