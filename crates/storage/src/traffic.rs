//! What goes through a pair, by producer's endpoint.

use armour_api::{ProducerPhase, ProducerTraffic};
use uuid::Uuid;

use crate::{decode::to_u64, error::Result, tx::Tx};

/// How many of the last minutes recent exchanges are of.
pub const RECENT_MINUTES: u32 = 5;
/// How many endpoints of a producer are told of.
const MAX_PRODUCERS: i64 = 500;
/// Of how many bundles with each of them exchanges are counted.
const MAX_BUNDLES: i64 = 200;

impl Tx {
    /// The endpoints of a producer that are there, with what goes through a pair's active bundles
    /// with each.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn traffic(&mut self, producer: Uuid, pair: Uuid) -> Result<Vec<ProducerTraffic>> {
        // The index has them by party; those that were lost are not in it, and few.
        let rows = sqlx::query!(
            r#"SELECT e.endpoint_id, e.name, e.zone, e.last_seen_at, e.lost_at,
                      (SELECT count(*) FROM bundles b
                       WHERE b.tenant_id = $1 AND b.pair_id = $2 AND b.state = 'active'
                         AND b.producer_endpoint_id = e.endpoint_id) AS "bundles!",
                      t.exchanges AS "exchanges!", t.recent AS "recent!"
               FROM endpoints e
               CROSS JOIN LATERAL (
                 SELECT coalesce(sum(l.head_n + 1), 0)::bigint AS exchanges,
                        coalesce(sum((SELECT sum((r.last_at + 1) / 2 - r.first_at / 2)
                          FROM (SELECT first_at, last_at, recorded_at FROM ticket_runs r
                                WHERE r.tenant_id = $1 AND r.bundle_id = l.bundle_id
                                  AND r.lane = l.lane
                                ORDER BY first_at DESC LIMIT 100) r
                          WHERE r.recorded_at > now() - make_interval(mins => $5))), 0)::bigint
                          AS recent
                 FROM (SELECT bundle_id FROM bundles b
                       WHERE b.tenant_id = $1 AND b.pair_id = $2 AND b.state = 'active'
                         AND b.producer_endpoint_id = e.endpoint_id
                       LIMIT $6) b
                 JOIN lanes l ON l.tenant_id = $1 AND l.bundle_id = b.bundle_id) t
               WHERE e.tenant_id = $1 AND e.party_id = $3 AND e.state = 'active'
                 AND e.left_at IS NULL
               ORDER BY e.endpoint_id LIMIT $4"#,
            self.tenant,
            pair,
            producer,
            MAX_PRODUCERS,
            RECENT_MINUTES as i32,
            MAX_BUNDLES
        )
        .fetch_all(&mut *self.inner)
        .await?;
        let ids: Vec<Uuid> = rows.iter().map(|row| row.endpoint_id).collect();
        let phases = self.fleets().phases(&ids).await?;
        rows.into_iter()
            .map(|row| {
                Ok(ProducerTraffic {
                    endpoint_id: row.endpoint_id,
                    name: row.name,
                    phase: match phases.get(&row.endpoint_id) {
                        Some(phase) => *phase,
                        None => ProducerPhase::Gone,
                    },
                    zone: row.zone,
                    last_seen_at: row.last_seen_at,
                    lost_at: row.lost_at,
                    bundles: to_u64(row.bundles)?,
                    exchanges: to_u64(row.exchanges)?,
                    recent: to_u64(row.recent)?,
                })
            })
            .collect()
    }
}
