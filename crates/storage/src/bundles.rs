//! Bundles and their sealed secrets.

use std::collections::HashMap;

use armour_api::{Bundle, BundleState, Page, Role};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    decode::{corrupt, word},
    error::{Result, StorageError},
    page::{PAGE, page},
    tx::Tx,
};

/// A bundle to be added.
pub struct NewBundle<'a> {
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
    /// The secret, HPKE-sealed to the consumer's endpoint.
    pub for_consumer: &'a [u8],
    /// The secret, HPKE-sealed to the producer's endpoint.
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
    /// The key that signs its tickets: its consumer's, an Ed25519 public key.
    pub consumer_key: Vec<u8>,
}

impl Tx {
    /// The tenant's bundles.
    pub fn bundles(&mut self) -> Bundles<'_> {
        Bundles(self)
    }
}

/// The tenant's bundles.
pub struct Bundles<'a>(&'a mut Tx);

impl Bundles<'_> {
    /// Adds a bundle and stores its two secrets until they are acknowledged.
    ///
    /// # Errors
    /// `Exists` if the endpoint has an active one in the pair.
    pub async fn create(&mut self, new: &NewBundle<'_>) -> Result<()> {
        sqlx::query!(
            "INSERT INTO bundles (tenant_id, bundle_id, pair_id, consumer_endpoint_id,
                 producer_endpoint_id, suite)
             VALUES ($1, $2, $3, $4, $5, $6)",
            self.0.tenant,
            new.id,
            new.pair,
            new.consumer,
            new.producer,
            i16::from(new.suite)
        )
        .execute(&mut *self.0.inner)
        .await?;
        self.0
            .secrets()
            .put(&bundle_secret(new.id, Role::Consumer), new.for_consumer)
            .await?;
        self.0
            .secrets()
            .put(&bundle_secret(new.id, Role::Producer), new.for_producer)
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
            "SELECT bundle_id, pair_id, consumer_endpoint_id, producer_endpoint_id, suite,
                    bundles.state, superseded_at, signing_key
             FROM bundles JOIN endpoints c
               ON c.tenant_id = bundles.tenant_id AND c.endpoint_id = consumer_endpoint_id
             WHERE bundles.tenant_id = $1 AND c.tenant_id = $1 AND bundle_id = $2
             FOR SHARE OF bundles",
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
            "SELECT bundle_id, pair_id, consumer_endpoint_id, producer_endpoint_id, suite,
                    bundles.state, superseded_at, signing_key
             FROM bundles JOIN endpoints c
               ON c.tenant_id = bundles.tenant_id AND c.endpoint_id = consumer_endpoint_id
             WHERE bundles.tenant_id = $1 AND c.tenant_id = $1 AND bundle_id = ANY($2)",
            self.0.tenant,
            ids
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        rows.into_iter()
            .map(|row| Ok((row.bundle_id, row.into_bundle()?)))
            .collect()
    }

    /// Supersedes the consumer endpoint's active bundle of a pair, if any.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn supersede(&mut self, pair: Uuid, consumer: Uuid) -> Result<Option<Uuid>> {
        let earlier = sqlx::query_scalar!(
            "UPDATE bundles SET state = 'superseded', superseded_at = now()
             WHERE tenant_id = $1 AND pair_id = $2 AND consumer_endpoint_id = $3
               AND state = 'active' RETURNING bundle_id",
            self.0.tenant,
            pair,
            consumer
        )
        .fetch_optional(&mut *self.0.inner)
        .await?;
        if let Some(earlier) = earlier {
            self.0.secrets().erase(&bundle_secrets(earlier)).await?;
        }
        Ok(earlier)
    }

    /// Disconnects bundles of a pair that are not yet: all, of one endpoint,
    /// or one bundle. Returns them; of concurrent calls one gets each bundle.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn disconnect(
        &mut self,
        pair: Option<Uuid>,
        endpoint: Option<Uuid>,
        bundle: Option<Uuid>,
    ) -> Result<Vec<Uuid>> {
        let cut = sqlx::query_scalar!(
            "UPDATE bundles SET state = 'disconnected', disconnected_at = now()
             WHERE tenant_id = $1 AND ($2::uuid IS NULL OR pair_id = $2)
               AND ($3::uuid IS NULL OR consumer_endpoint_id = $3 OR producer_endpoint_id = $3)
               AND ($4::uuid IS NULL OR bundle_id = $4)
               AND state <> 'disconnected' RETURNING bundle_id",
            self.0.tenant,
            pair,
            endpoint,
            bundle
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        let names: Vec<String> = cut.iter().flat_map(|id| bundle_secrets(*id)).collect();
        self.0.secrets().erase(&names).await?;
        Ok(cut)
    }

    /// Erases the secret sealed to one side.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn erase_secret(&mut self, id: Uuid, role: Role) -> Result<()> {
        self.0.secrets().erase(&[bundle_secret(id, role)]).await
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
    signing_key: Vec<u8>,
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
            consumer_key: self.signing_key,
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
