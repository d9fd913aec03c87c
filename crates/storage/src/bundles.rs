//! Bundles and their sealed secrets.

use std::collections::HashMap;

use armour_api::{Bundle, BundleState, Page, Policy, Role};
use armour_protocol::v2::{context::Context, identity::start::StartHash};
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::{
    decode::{corrupt, fixed, to_i64, to_u64, word},
    error::{Result, StorageError},
    page::{PAGE, page},
    tx::Tx,
};

/// For how long a superseded bundle may be of use: the longest grace that a policy gives it. By
/// then its ends have given it up, or are told that it is retired when they are heard of.
pub const MAX_GRACE: TimeDelta = TimeDelta::hours(1);
const MAX_GRACE_S: f64 = MAX_GRACE.num_seconds() as f64;

/// A bundle to be added.
pub struct NewBundle<'a> {
    /// What it is bound to.
    pub context: &'a Context,
    /// The policy whose hash it is bound to.
    pub policy: &'a Policy,
    /// The consumer's start.
    pub consumer_start: StartHash,
    /// The producer's start.
    pub producer_start: StartHash,
    /// The secret, HPKE-sealed to the consumer's start.
    pub for_consumer: &'a [u8],
    /// The secret, HPKE-sealed to the producer's start.
    pub for_producer: &'a [u8],
}

/// A bundle as the ledger sees it.
#[derive(Debug, Clone)]
pub struct BundleRow {
    /// Its id.
    pub id: Uuid,
    /// Its pair.
    pub pair: Uuid,
    /// The consumer's endpoint.
    pub consumer: Uuid,
    /// The producer's endpoint.
    pub producer: Uuid,
    /// Its suite.
    pub suite: u8,
    /// Its state.
    pub state: BundleState,
    /// When it was superseded.
    pub superseded_at: Option<DateTime<Utc>>,
    /// The number of the draw that asked for it.
    pub draw: u64,
    /// SHA-256 of the policy that it is bound to.
    pub policy_hash: [u8; 32],
    /// H of its context.
    pub context: [u8; 32],
    /// The consumer's start.
    pub consumer_start: StartHash,
    /// The producer's start.
    pub producer_start: StartHash,
    /// The key that signs its tickets, an Ed25519 public key.
    pub consumer_key: [u8; 32],
    /// The key that signs its receipts, an Ed25519 public key.
    pub producer_key: [u8; 32],
    /// Whether its consumer has retired it.
    pub consumer_retired: bool,
    /// Whether its producer has.
    pub producer_retired: bool,
}

impl BundleRow {
    /// On which side of it an endpoint is.
    pub fn side(&self, endpoint: Uuid) -> Option<Role> {
        match endpoint {
            me if me == self.consumer => Some(Role::Consumer),
            me if me == self.producer => Some(Role::Producer),
            _ => None,
        }
    }

    /// Whether the end on this side has retired it.
    pub fn is_retired(&self, side: Role) -> bool {
        match side {
            Role::Consumer => self.consumer_retired,
            Role::Producer => self.producer_retired,
        }
    }

    /// The start of the end on this side.
    pub fn start(&self, side: Role) -> StartHash {
        match side {
            Role::Consumer => self.consumer_start,
            Role::Producer => self.producer_start,
        }
    }
}

impl Tx {
    /// The tenant's bundles.
    pub fn bundles(&mut self) -> Bundles<'_> {
        Bundles(self)
    }
}

/// The tenant's bundles.
pub struct Bundles<'a>(&'a mut Tx);

/// A bundle that was disconnected.
struct Cut {
    bundle_id: Uuid,
    pair_id: Uuid,
}

impl Bundles<'_> {
    /// Adds a bundle and stores its two secrets until they are acknowledged.
    ///
    /// # Errors
    /// `Exists` if the endpoint has an active one in the pair with the same producer's endpoint.
    pub async fn create(&mut self, new: &NewBundle<'_>) -> Result<()> {
        let bound = new.context.binding();
        let id = Uuid::from_bytes(bound.bundle);
        sqlx::query!(
            "INSERT INTO bundles (tenant_id, bundle_id, pair_id, consumer_endpoint_id,
                 producer_endpoint_id, suite, draw, policy, policy_hash, context_hash,
                 consumer_start, producer_start, consumer_key, producer_key)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
            self.0.tenant,
            id,
            Uuid::from_bytes(bound.pair),
            Uuid::from_bytes(bound.consumer.endpoint),
            Uuid::from_bytes(bound.producer.endpoint),
            bound.suite as i16,
            to_i64(bound.draw)?,
            serde_json::json!(new.policy),
            &bound.policy[..],
            &new.context.hash()[..],
            &new.consumer_start.0[..],
            &new.producer_start.0[..],
            &bound.consumer.key.as_bytes()[..],
            &bound.producer.key.as_bytes()[..]
        )
        .execute(&mut *self.0.inner)
        .await?;
        self.0
            .secrets()
            .put(&bundle_secret(id, Role::Consumer), new.for_consumer)
            .await?;
        self.0
            .secrets()
            .put(&bundle_secret(id, Role::Producer), new.for_producer)
            .await
    }

    /// A bundle; its row stays locked against changes of state until the
    /// transaction ends.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn find_for_share(&mut self, id: Uuid) -> Result<BundleRow> {
        sqlx::query_as!(
            LedgerRow,
            "SELECT bundle_id, pair_id, consumer_endpoint_id, producer_endpoint_id, suite, state,
                    superseded_at, draw, policy_hash, context_hash, consumer_start,
                    producer_start, consumer_key, producer_key,
                    consumer_retired_at, producer_retired_at
             FROM bundles WHERE tenant_id = $1 AND bundle_id = $2 FOR SHARE",
            self.0.tenant,
            id
        )
        .fetch_one(&mut *self.0.inner)
        .await?
        .into_bundle()
    }

    /// Those of these bundles that exist.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn find_many(&mut self, ids: &[Uuid]) -> Result<HashMap<Uuid, BundleRow>> {
        let rows = sqlx::query_as!(
            LedgerRow,
            "SELECT bundle_id, pair_id, consumer_endpoint_id, producer_endpoint_id, suite, state,
                    superseded_at, draw, policy_hash, context_hash, consumer_start,
                    producer_start, consumer_key, producer_key,
                    consumer_retired_at, producer_retired_at
             FROM bundles WHERE tenant_id = $1 AND bundle_id = ANY($2)",
            self.0.tenant,
            ids
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        rows.into_iter()
            .map(|row| Ok((row.bundle_id, row.into_bundle()?)))
            .collect()
    }

    /// Those of these bundles that exist. They stay locked until the transaction ends, in the
    /// order of their ids, so that two transactions never wait for each other.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn lock(&mut self, ids: &[Uuid]) -> Result<HashMap<Uuid, BundleRow>> {
        let rows = sqlx::query_as!(
            LedgerRow,
            "SELECT bundle_id, pair_id, consumer_endpoint_id, producer_endpoint_id, suite, state,
                    superseded_at, draw, policy_hash, context_hash, consumer_start,
                    producer_start, consumer_key, producer_key,
                    consumer_retired_at, producer_retired_at
             FROM bundles WHERE tenant_id = $1 AND bundle_id = ANY($2)
             ORDER BY bundle_id FOR NO KEY UPDATE",
            self.0.tenant,
            ids
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        rows.into_iter()
            .map(|row| Ok((row.bundle_id, row.into_bundle()?)))
            .collect()
    }

    /// Locks the active bundles of consumers' endpoints in these pairs, in the order of their
    /// ids, until the transaction ends.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn lock_active(&mut self, consumers: &[Uuid], pairs: &[Uuid]) -> Result<()> {
        sqlx::query!(
            "SELECT bundle_id FROM bundles
             WHERE tenant_id = $1 AND consumer_endpoint_id = ANY($2) AND pair_id = ANY($3)
               AND state = 'active' ORDER BY bundle_id FOR NO KEY UPDATE",
            self.0.tenant,
            consumers,
            pairs
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    /// The policy that a bundle is bound to.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn policy(&mut self, id: Uuid) -> Result<Policy> {
        let policy = sqlx::query_scalar!(
            "SELECT policy FROM bundles WHERE tenant_id = $1 AND bundle_id = $2",
            self.0.tenant,
            id
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        serde_json::from_value(policy).map_err(corrupt)
    }

    /// Active bundles that an endpoint has yet to acknowledge, the earliest first, at most so
    /// many.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn pending(&mut self, endpoint: Uuid, limit: i64) -> Result<Vec<Uuid>> {
        Ok(sqlx::query_scalar!(
            r#"SELECT bundle_id AS "id!" FROM (
                 SELECT bundle_id FROM bundles
                 WHERE tenant_id = $1 AND consumer_endpoint_id = $2 AND state = 'active'
                   AND consumer_acknowledged_at IS NULL
                 UNION ALL
                 SELECT bundle_id FROM bundles
                 WHERE tenant_id = $1 AND producer_endpoint_id = $2 AND state = 'active'
                   AND producer_acknowledged_at IS NULL) pending
               ORDER BY bundle_id LIMIT $3"#,
            self.0.tenant,
            endpoint,
            limit
        )
        .fetch_all(&mut *self.0.inner)
        .await?)
    }

    /// Records that one side has installed a bundle, and erases what was sealed to it.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn acknowledge(&mut self, id: Uuid, side: Role) -> Result<()> {
        let consumer = side == Role::Consumer;
        sqlx::query!(
            "UPDATE bundles SET
               consumer_acknowledged_at = CASE WHEN $3 THEN coalesce(consumer_acknowledged_at,
                 now()) ELSE consumer_acknowledged_at END,
               producer_acknowledged_at = CASE WHEN $3 THEN producer_acknowledged_at
                 ELSE coalesce(producer_acknowledged_at, now()) END
             WHERE tenant_id = $1 AND bundle_id = $2",
            self.0.tenant,
            id,
            consumer
        )
        .execute(&mut *self.0.inner)
        .await?;
        self.0.secrets().erase(&[bundle_secret(id, side)]).await
    }

    /// Notes that one side has found a checkpoint of foreign hands. Returns whether it is that
    /// side's first of the bundle.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn alarm(&mut self, id: Uuid, side: Role) -> Result<bool> {
        let noted = sqlx::query!(
            "UPDATE bundles SET
               consumer_alarm_at = CASE WHEN $3 THEN now() ELSE consumer_alarm_at END,
               producer_alarm_at = CASE WHEN $3 THEN producer_alarm_at ELSE now() END
             WHERE tenant_id = $1 AND bundle_id = $2
               AND CASE WHEN $3 THEN consumer_alarm_at ELSE producer_alarm_at END IS NULL",
            self.0.tenant,
            id,
            side == Role::Consumer
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(noted.rows_affected() > 0)
    }

    /// Records that one side has given a bundle up. Returns whether it was of use until then.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn retire(&mut self, id: Uuid, side: Role) -> Result<bool> {
        let consumer = side == Role::Consumer;
        let was = sqlx::query_scalar!(
            "UPDATE bundles b SET
               state = CASE WHEN b.state = 'disconnected' THEN b.state ELSE 'retired' END,
               consumer_retired_at = CASE WHEN $3 THEN coalesce(b.consumer_retired_at, now())
                 ELSE b.consumer_retired_at END,
               producer_retired_at = CASE WHEN $3 THEN b.producer_retired_at
                 ELSE coalesce(b.producer_retired_at, now()) END
             FROM (SELECT state FROM bundles WHERE tenant_id = $1 AND bundle_id = $2) AS before
             WHERE tenant_id = $1 AND bundle_id = $2 RETURNING before.state",
            self.0.tenant,
            id,
            consumer
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        self.0.secrets().erase(&bundle_secrets(id)).await?;
        Ok(matches!(
            word(&was)?,
            BundleState::Active | BundleState::Superseded
        ))
    }

    /// Supersedes all of an endpoint's bundles that are active, on either side. Returns them
    /// with their pairs.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn supersede_all(&mut self, endpoint: Uuid) -> Result<Vec<(Uuid, Uuid)>> {
        let rows = sqlx::query!(
            "UPDATE bundles SET state = 'superseded', superseded_at = now()
             WHERE tenant_id = $1 AND (consumer_endpoint_id = $2 OR producer_endpoint_id = $2)
               AND state = 'active' RETURNING bundle_id, pair_id",
            self.0.tenant,
            endpoint
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        let names: Vec<String> = rows
            .iter()
            .flat_map(|row| bundle_secrets(row.bundle_id))
            .collect();
        self.0.secrets().erase(&names).await?;
        Ok(rows
            .into_iter()
            .map(|row| (row.bundle_id, row.pair_id))
            .collect())
    }

    /// Supersedes a bundle. Returns whether it was active until then.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn supersede(&mut self, id: Uuid) -> Result<bool> {
        let done = sqlx::query!(
            "UPDATE bundles SET state = 'superseded', superseded_at = now()
             WHERE tenant_id = $1 AND bundle_id = $2 AND state = 'active'",
            self.0.tenant,
            id
        )
        .execute(&mut *self.0.inner)
        .await?;
        let was_active = done.rows_affected() == 1;
        if was_active {
            self.0.secrets().erase(&bundle_secrets(id)).await?;
        }
        Ok(was_active)
    }

    /// A pair's bundles that are of use.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn live_of_pair(&mut self, pair: Uuid) -> Result<Vec<Uuid>> {
        // What is superseded is found by when it was: what ever was is not looked at.
        Ok(sqlx::query_scalar!(
            r#"WITH superseded AS MATERIALIZED (
                 SELECT bundle_id, pair_id FROM bundles
                 WHERE tenant_id = $1 AND state = 'superseded'
                   AND superseded_at > now() - make_interval(secs => $3))
               SELECT bundle_id AS "id!" FROM bundles
               WHERE tenant_id = $1 AND pair_id = $2 AND state = 'active'
               UNION ALL
               SELECT bundle_id FROM superseded WHERE pair_id = $2"#,
            self.0.tenant,
            pair,
            MAX_GRACE_S
        )
        .fetch_all(&mut *self.0.inner)
        .await?)
    }

    /// An endpoint's bundles, on either side, that are of use.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn live_of_endpoint(&mut self, endpoint: Uuid) -> Result<Vec<Uuid>> {
        Ok(sqlx::query_scalar!(
            r#"WITH superseded AS MATERIALIZED (
                 SELECT bundle_id, consumer_endpoint_id, producer_endpoint_id FROM bundles
                 WHERE tenant_id = $1 AND state = 'superseded'
                   AND superseded_at > now() - make_interval(secs => $3))
               SELECT bundle_id AS "id!" FROM bundles
               WHERE tenant_id = $1 AND consumer_endpoint_id = $2 AND state = 'active'
               UNION ALL
               SELECT bundle_id FROM bundles
               WHERE tenant_id = $1 AND producer_endpoint_id = $2 AND state = 'active'
               UNION ALL
               SELECT bundle_id FROM superseded
               WHERE consumer_endpoint_id = $2 OR producer_endpoint_id = $2"#,
            self.0.tenant,
            endpoint,
            MAX_GRACE_S
        )
        .fetch_all(&mut *self.0.inner)
        .await?)
    }

    /// All of the tenant's bundles that are of use.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn live(&mut self) -> Result<Vec<Uuid>> {
        Ok(sqlx::query_scalar!(
            r#"SELECT bundle_id AS "id!" FROM bundles WHERE tenant_id = $1 AND state = 'active'
               UNION ALL
               SELECT bundle_id FROM bundles
               WHERE tenant_id = $1 AND state = 'superseded'
                 AND superseded_at > now() - make_interval(secs => $2)"#,
            self.0.tenant,
            MAX_GRACE_S
        )
        .fetch_all(&mut *self.0.inner)
        .await?)
    }

    /// Disconnects bundles, whatever state they are in. Returns those that were not yet, with
    /// their pairs; of concurrent calls one gets each bundle.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn disconnect(&mut self, ids: &[Uuid]) -> Result<Vec<(Uuid, Uuid)>> {
        let cut = sqlx::query_as!(
            Cut,
            "WITH due AS (
                 SELECT bundle_id FROM bundles
                 WHERE tenant_id = $1 AND bundle_id = ANY($2) AND state <> 'disconnected'
                 ORDER BY bundle_id FOR NO KEY UPDATE)
             UPDATE bundles SET state = 'disconnected', disconnected_at = now()
             WHERE tenant_id = $1 AND bundle_id IN (SELECT bundle_id FROM due)
             RETURNING bundle_id, pair_id",
            self.0.tenant,
            ids
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        self.erase_secrets(cut).await
    }

    /// Erases the secrets of bundles that were cut. Returns these and their pairs.
    async fn erase_secrets(&mut self, cut: Vec<Cut>) -> Result<Vec<(Uuid, Uuid)>> {
        let names = cut.iter().flat_map(|one| bundle_secrets(one.bundle_id));
        let names: Vec<String> = names.collect();
        self.0.secrets().erase(&names).await?;
        Ok(cut
            .into_iter()
            .map(|one| (one.bundle_id, one.pair_id))
            .collect())
    }

    /// One bundle.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn find(&mut self, id: Uuid) -> Result<Bundle> {
        let mut rows = self.rows(None, None, Some(id)).await?;
        rows.pop().ok_or(StorageError::NotFound)
    }

    /// Bundles, latest first; of one pair if given.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn list(&mut self, pair: Option<Uuid>, before: Option<Uuid>) -> Result<Page<Bundle>> {
        let rows = self.rows(pair, before, None).await?;
        Ok(page(rows, |bundle| bundle.id.to_string()))
    }

    async fn rows(
        &mut self,
        pair: Option<Uuid>,
        before: Option<Uuid>,
        id: Option<Uuid>,
    ) -> Result<Vec<Bundle>> {
        let rows = sqlx::query_as!(
            ListedRow,
            r#"SELECT b.bundle_id, pair_id, consumer_endpoint_id, producer_endpoint_id, suite,
                      state, created_at, superseded_at, disconnected_at,
                      coalesce((SELECT sum(head_n + 1) FROM lanes l
                        WHERE l.tenant_id = b.tenant_id AND l.bundle_id = b.bundle_id), 0)::bigint
                        AS "exchanges!"
               FROM bundles b
               WHERE b.tenant_id = $1 AND ($2::uuid IS NULL OR pair_id = $2)
                 AND ($3::uuid IS NULL OR b.bundle_id < $3)
                 AND ($4::uuid IS NULL OR b.bundle_id = $4)
               ORDER BY b.bundle_id DESC LIMIT $5"#,
            self.0.tenant,
            pair,
            before,
            id,
            PAGE + 1
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(Bundle {
                    id: row.bundle_id,
                    pair_id: row.pair_id,
                    consumer_endpoint_id: row.consumer_endpoint_id,
                    producer_endpoint_id: row.producer_endpoint_id,
                    suite: u8::try_from(row.suite).map_err(corrupt)?,
                    state: word(&row.state)?,
                    created_at: row.created_at,
                    superseded_at: row.superseded_at,
                    disconnected_at: row.disconnected_at,
                    exchanges: row.exchanges,
                })
            })
            .collect()
    }
}

struct LedgerRow {
    bundle_id: Uuid,
    pair_id: Uuid,
    consumer_endpoint_id: Uuid,
    producer_endpoint_id: Uuid,
    suite: i16,
    state: String,
    superseded_at: Option<DateTime<Utc>>,
    draw: i64,
    policy_hash: Vec<u8>,
    context_hash: Vec<u8>,
    consumer_start: Vec<u8>,
    producer_start: Vec<u8>,
    consumer_key: Vec<u8>,
    producer_key: Vec<u8>,
    consumer_retired_at: Option<DateTime<Utc>>,
    producer_retired_at: Option<DateTime<Utc>>,
}

impl LedgerRow {
    fn into_bundle(self) -> Result<BundleRow> {
        Ok(BundleRow {
            id: self.bundle_id,
            pair: self.pair_id,
            consumer: self.consumer_endpoint_id,
            producer: self.producer_endpoint_id,
            suite: u8::try_from(self.suite).map_err(corrupt)?,
            state: word(&self.state)?,
            superseded_at: self.superseded_at,
            draw: to_u64(self.draw)?,
            policy_hash: fixed(self.policy_hash)?,
            context: fixed(self.context_hash)?,
            consumer_start: StartHash(fixed(self.consumer_start)?),
            producer_start: StartHash(fixed(self.producer_start)?),
            consumer_key: fixed(self.consumer_key)?,
            producer_key: fixed(self.producer_key)?,
            consumer_retired: self.consumer_retired_at.is_some(),
            producer_retired: self.producer_retired_at.is_some(),
        })
    }
}

struct ListedRow {
    bundle_id: Uuid,
    pair_id: Uuid,
    consumer_endpoint_id: Uuid,
    producer_endpoint_id: Uuid,
    suite: i16,
    state: String,
    created_at: DateTime<Utc>,
    superseded_at: Option<DateTime<Utc>>,
    disconnected_at: Option<DateTime<Utc>>,
    exchanges: i64,
}

/// Name of a bundle's secret, sealed to one side.
pub fn bundle_secret(bundle: Uuid, role: Role) -> String {
    format!("bundle:{bundle}:{}", role.into_str())
}

fn bundle_secrets(bundle: Uuid) -> [String; 2] {
    [Role::Consumer, Role::Producer].map(|role| bundle_secret(bundle, role))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_policy_gives_a_superseded_bundle_more_time_than_it_counts_as_of_use() {
        let longest = u32::try_from(MAX_GRACE.num_milliseconds()).unwrap();
        let with = |supersede_grace_ms| Policy {
            supersede_grace_ms,
            ..Policy::default()
        };
        assert!(with(longest).check().is_ok());
        assert!(with(longest + 1).check().is_err());
    }
}
