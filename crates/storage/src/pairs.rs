//! Pairs of consumer and producer.

use std::collections::{HashMap, HashSet};

use armour_api::{Page, Pair, PairSort, PairState, Policy, Role};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    decode::{corrupt, word},
    error::Result,
    like::containing,
    page::{PAGE, page},
    tx::Tx,
};

/// Which pairs to list.
#[derive(Debug)]
pub struct PairQuery<'a> {
    /// Part of the consumer's or the producer's name, in any case.
    pub search: Option<&'a str>,
    /// Only in this state.
    pub state: Option<PairState>,
    /// In which order.
    pub sort: PairSort,
    /// After this pair: what it is sorted by, and its id.
    pub after: Option<&'a (String, Uuid)>,
    /// How many at most.
    pub limit: i64,
}

impl Tx {
    /// The tenant's pairs.
    pub fn pairs(&mut self) -> Pairs<'_> {
        Pairs(self)
    }
}

/// The tenant's pairs.
pub struct Pairs<'a>(&'a mut Tx);

impl Pairs<'_> {
    /// Adds a pair.
    ///
    /// # Errors
    /// `Exists` if the two are paired, `NotFound` if either is unknown.
    pub async fn create(
        &mut self,
        id: Uuid,
        consumer: Uuid,
        producer: Uuid,
        policy: &Policy,
    ) -> Result<Pair> {
        self.0.parties().find(Role::Consumer, consumer).await?;
        self.0.parties().find(Role::Producer, producer).await?;
        sqlx::query!(
            "INSERT INTO pairs (tenant_id, pair_id, consumer_id, producer_id, policy)
             VALUES ($1, $2, $3, $4, $5)",
            self.0.tenant,
            id,
            consumer,
            producer,
            serde_json::json!(policy)
        )
        .execute(&mut *self.0.inner)
        .await?;
        self.find(id).await
    }

    /// The consumers and the producers of those of these pairs that exist.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn ends(&mut self, pairs: &[Uuid]) -> Result<HashMap<Uuid, [Uuid; 2]>> {
        let rows = sqlx::query!(
            "SELECT pair_id, consumer_id, producer_id FROM pairs
             WHERE tenant_id = $1 AND pair_id = ANY($2)",
            self.0.tenant,
            pairs
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        let ends = rows.into_iter();
        Ok(ends
            .map(|row| (row.pair_id, [row.consumer_id, row.producer_id]))
            .collect())
    }

    /// The consumers of these producers, by producer.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn consumers_of(
        &mut self,
        producers: &[Uuid],
    ) -> Result<HashMap<Uuid, HashSet<Uuid>>> {
        let rows = sqlx::query!(
            "SELECT producer_id, consumer_id FROM pairs
             WHERE tenant_id = $1 AND producer_id = ANY($2)",
            self.0.tenant,
            producers
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        let mut consumers: HashMap<Uuid, HashSet<Uuid>> = HashMap::new();
        for row in rows {
            let of = consumers.entry(row.producer_id).or_default();
            of.insert(row.consumer_id);
        }
        Ok(consumers)
    }

    /// One pair.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn find(&mut self, id: Uuid) -> Result<Pair> {
        sqlx::query_as!(
            PairRow,
            "SELECT pair_id, consumer_id, producer_id, c.name AS consumer_name,
                    p.name AS producer_name, state, policy, pairs.created_at, revision
             FROM pairs
             JOIN parties c ON (c.tenant_id, c.party_id) = (pairs.tenant_id, consumer_id)
             JOIN parties p ON (p.tenant_id, p.party_id) = (pairs.tenant_id, producer_id)
             WHERE pairs.tenant_id = $1 AND pair_id = $2",
            self.0.tenant,
            id
        )
        .fetch_one(&mut *self.0.inner)
        .await?
        .into_pair()
    }

    /// Pairs in order of id; of one producer or consumer if `party` is given.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn list(&mut self, party: Option<Uuid>, after: Option<Uuid>) -> Result<Page<Pair>> {
        let rows = sqlx::query_as!(
            PairRow,
            "SELECT pair_id, consumer_id, producer_id, c.name AS consumer_name,
                    p.name AS producer_name, state, policy, pairs.created_at, revision
             FROM pairs
             JOIN parties c ON (c.tenant_id, c.party_id) = (pairs.tenant_id, consumer_id)
             JOIN parties p ON (p.tenant_id, p.party_id) = (pairs.tenant_id, producer_id)
             WHERE pairs.tenant_id = $1 AND ($2::uuid IS NULL OR pair_id > $2)
               AND ($3::uuid IS NULL OR consumer_id = $3 OR producer_id = $3)
             ORDER BY pair_id LIMIT $4",
            self.0.tenant,
            after,
            party,
            PAGE + 1
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        let pairs = rows
            .into_iter()
            .map(PairRow::into_pair)
            .collect::<Result<Vec<_>>>()?;
        Ok(page(pairs, |pair| pair.id.to_string()))
    }

    /// Pairs as people look for them. Sorted by what an index has in order, so that a
    /// page costs the same wherever it is.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn search(&mut self, query: &PairQuery<'_>) -> Result<Vec<Pair>> {
        // Put together from the fixed parts below; what comes from outside is bound.
        let (key, ascending) = match query.sort {
            PairSort::Newest => ("pairs.pair_id", false),
            PairSort::Oldest => ("pairs.pair_id", true),
            PairSort::Consumer => ("c.name", true),
            PairSort::ConsumerDescending => ("c.name", false),
            PairSort::Producer => ("p.name", true),
            PairSort::ProducerDescending => ("p.name", false),
        };
        let (beyond, order) = if ascending {
            (">", "ASC")
        } else {
            ("<", "DESC")
        };
        let mut sql = sqlx::QueryBuilder::<sqlx::Postgres>::new(
            "SELECT pair_id, consumer_id, producer_id, c.name AS consumer_name,
                    p.name AS producer_name, state, policy, pairs.created_at, revision
             FROM pairs
             JOIN parties c ON (c.tenant_id, c.party_id) = (pairs.tenant_id, consumer_id)
             JOIN parties p ON (p.tenant_id, p.party_id) = (pairs.tenant_id, producer_id)
             WHERE c.role = 'consumer' AND p.role = 'producer' AND pairs.tenant_id = ",
        );
        sql.push_bind(self.0.tenant)
            .push(" AND c.tenant_id = ")
            .push_bind(self.0.tenant)
            .push(" AND p.tenant_id = ")
            .push_bind(self.0.tenant);
        if let Some(state) = query.state {
            sql.push(" AND state = ").push_bind(state.into_str());
        }
        if let Some(search) = query.search {
            let pattern = containing(search);
            sql.push(" AND (c.name ILIKE ")
                .push_bind(pattern.clone())
                .push(" OR p.name ILIKE ")
                .push_bind(pattern)
                .push(")");
        }
        if let Some((value, id)) = query.after {
            match query.sort {
                PairSort::Newest | PairSort::Oldest => {
                    sql.push(format!(" AND {key} {beyond} ")).push_bind(*id);
                }
                _ => {
                    sql.push(format!(" AND ({key}, pair_id) {beyond} ("))
                        .push_bind(value.clone())
                        .push(", ")
                        .push_bind(*id)
                        .push(")");
                }
            }
        }
        sql.push(format!(" ORDER BY {key} {order}, pair_id {order} LIMIT "))
            .push_bind(query.limit);
        let rows: Vec<PairRow> = sql.build_query_as().fetch_all(&mut *self.0.inner).await?;
        rows.into_iter().map(PairRow::into_pair).collect()
    }

    pub(crate) async fn count(&mut self) -> Result<i64> {
        Ok(sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM pairs WHERE tenant_id = $1"#,
            self.0.tenant
        )
        .fetch_one(&mut *self.0.inner)
        .await?)
    }

    /// Locks a pair's row until the transaction ends; returns its state.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn lock(&mut self, id: Uuid) -> Result<PairState> {
        let state = sqlx::query_scalar!(
            "SELECT state FROM pairs WHERE tenant_id = $1 AND pair_id = $2 FOR UPDATE",
            self.0.tenant,
            id
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        word(&state)
    }

    /// Sets a pair's state. Returns whether that changed it.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn set_state(&mut self, id: Uuid, state: PairState) -> Result<bool> {
        let done = sqlx::query!(
            "UPDATE pairs SET state = $3, revision = revision + 1,
                    re_armed_at = CASE WHEN $3 = 'active' THEN now() ELSE re_armed_at END
             WHERE tenant_id = $1 AND pair_id = $2 AND state <> $3",
            self.0.tenant,
            id,
            state.into_str()
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Whether a bundle of a pair was disconnected before the pair was last let go on.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn was_re_armed_since(&mut self, bundle: Uuid) -> Result<bool> {
        let since = sqlx::query_scalar!(
            r#"SELECT coalesce(b.disconnected_at < p.re_armed_at, false) AS "since!"
               FROM bundles b JOIN pairs p ON p.tenant_id = $1 AND p.pair_id = b.pair_id
               WHERE b.tenant_id = $1 AND b.bundle_id = $2"#,
            self.0.tenant,
            bundle
        )
        .fetch_optional(&mut *self.0.inner)
        .await?;
        Ok(since.unwrap_or(false))
    }

    /// Replaces a pair's policy.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn set_policy(&mut self, id: Uuid, policy: &Policy) -> Result<()> {
        sqlx::query_scalar!(
            "UPDATE pairs SET policy = $3, revision = revision + 1
             WHERE tenant_id = $1 AND pair_id = $2 RETURNING pair_id",
            self.0.tenant,
            id,
            serde_json::json!(policy)
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        Ok(())
    }
}

#[derive(sqlx::FromRow)]
struct PairRow {
    pair_id: Uuid,
    consumer_id: Uuid,
    producer_id: Uuid,
    consumer_name: String,
    producer_name: String,
    state: String,
    policy: serde_json::Value,
    created_at: DateTime<Utc>,
    revision: i32,
}

impl PairRow {
    fn into_pair(self) -> Result<Pair> {
        Ok(Pair {
            id: self.pair_id,
            consumer_id: self.consumer_id,
            producer_id: self.producer_id,
            consumer_name: self.consumer_name,
            producer_name: self.producer_name,
            state: word(&self.state)?,
            policy: serde_json::from_value(self.policy).map_err(corrupt)?,
            created_at: self.created_at,
            revision: self.revision,
        })
    }
}
