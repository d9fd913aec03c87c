//! Pairs of consumer and producer.

use armour_api::{Page, Pair, PairState, Policy, Role};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{PAGE, Result, StorageError, Tx, error::word, page};

struct PairRow {
    pair_id: Uuid,
    consumer_id: Uuid,
    producer_id: Uuid,
    consumer_name: String,
    producer_name: String,
    state: String,
    policy: serde_json::Value,
    created_at: DateTime<Utc>,
}

impl Tx {
    /// Adds a pair.
    ///
    /// # Errors
    /// `Exists` if the two are paired, `NotFound` if either is unknown.
    pub async fn create_pair(
        &mut self,
        id: Uuid,
        consumer: Uuid,
        producer: Uuid,
        policy: &Policy,
    ) -> Result<Pair> {
        self.find_party(Role::Consumer, consumer).await?;
        self.find_party(Role::Producer, producer).await?;
        sqlx::query!(
            "INSERT INTO pairs (tenant_id, pair_id, consumer_id, producer_id, policy)
             VALUES ($1, $2, $3, $4, $5)",
            self.tenant,
            id,
            consumer,
            producer,
            serde_json::json!(policy)
        )
        .execute(&mut *self.inner)
        .await?;
        self.find_pair(id).await
    }

    /// One pair.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn find_pair(&mut self, id: Uuid) -> Result<Pair> {
        sqlx::query_as!(
            PairRow,
            "SELECT pair_id, consumer_id, producer_id, c.name AS consumer_name,
                    p.name AS producer_name, state, policy, pairs.created_at
             FROM pairs
             JOIN parties c ON (c.tenant_id, c.party_id) = (pairs.tenant_id, consumer_id)
             JOIN parties p ON (p.tenant_id, p.party_id) = (pairs.tenant_id, producer_id)
             WHERE pairs.tenant_id = $1 AND pair_id = $2",
            self.tenant,
            id
        )
        .fetch_one(&mut *self.inner)
        .await?
        .into_pair()
    }

    /// Pairs in order of id; of one producer or consumer if `party` is given.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn list_pairs(
        &mut self,
        party: Option<Uuid>,
        after: Option<Uuid>,
    ) -> Result<Page<Pair>> {
        let rows = sqlx::query_as!(
            PairRow,
            "SELECT pair_id, consumer_id, producer_id, c.name AS consumer_name,
                    p.name AS producer_name, state, policy, pairs.created_at
             FROM pairs
             JOIN parties c ON (c.tenant_id, c.party_id) = (pairs.tenant_id, consumer_id)
             JOIN parties p ON (p.tenant_id, p.party_id) = (pairs.tenant_id, producer_id)
             WHERE pairs.tenant_id = $1 AND ($2::uuid IS NULL OR pair_id > $2)
               AND ($3::uuid IS NULL OR consumer_id = $3 OR producer_id = $3)
             ORDER BY pair_id LIMIT $4",
            self.tenant,
            after,
            party,
            PAGE + 1
        )
        .fetch_all(&mut *self.inner)
        .await?;
        let pairs = rows
            .into_iter()
            .map(PairRow::into_pair)
            .collect::<Result<Vec<_>>>()?;
        Ok(page(pairs, |pair| pair.id.to_string()))
    }

    /// Locks a pair's row until the transaction ends; returns its state.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn lock_pair(&mut self, id: Uuid) -> Result<PairState> {
        let state = sqlx::query_scalar!(
            "SELECT state FROM pairs WHERE tenant_id = $1 AND pair_id = $2 FOR UPDATE",
            self.tenant,
            id
        )
        .fetch_one(&mut *self.inner)
        .await?;
        word(PairState::parse, &state)
    }

    /// Sets a pair's state. Returns whether that changed it.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn set_pair_state(&mut self, id: Uuid, state: PairState) -> Result<bool> {
        let done = sqlx::query!(
            "UPDATE pairs SET state = $3 WHERE tenant_id = $1 AND pair_id = $2 AND state <> $3",
            self.tenant,
            id,
            state.as_str()
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Replaces a pair's policy.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn set_pair_policy(&mut self, id: Uuid, policy: &Policy) -> Result<()> {
        sqlx::query_scalar!(
            "UPDATE pairs SET policy = $3 WHERE tenant_id = $1 AND pair_id = $2 RETURNING pair_id",
            self.tenant,
            id,
            serde_json::json!(policy)
        )
        .fetch_one(&mut *self.inner)
        .await?;
        Ok(())
    }
}

impl PairRow {
    fn into_pair(self) -> Result<Pair> {
        Ok(Pair {
            id: self.pair_id,
            consumer_id: self.consumer_id,
            producer_id: self.producer_id,
            consumer_name: self.consumer_name,
            producer_name: self.producer_name,
            state: word(PairState::parse, &self.state)?,
            policy: serde_json::from_value(self.policy)
                .map_err(|error| StorageError::Corrupt(error.to_string()))?,
            created_at: self.created_at,
        })
    }
}
