//! The audit log: entries, the tree over them, and what it proves.

use armour_api::{AuditEntry, Page, SignedHead};
use armour_transparency::{
    Frontier, Hash, Node, TreeHead, entry,
    merkle::{consistency_ranges, cover, fold, inclusion_ranges},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, NaiveDate, SubsecRound, Utc};
use ed25519_dalek::SigningKey;
use rand::Rng;
use serde_json::Value;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{PAGE, Result, StorageError, Store, Tx, page};

/// Name of the secret that signs a log's heads.
const LOG_SECRET: &str = "log";

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// The platform's administrator.
    Platform,
    /// The service itself.
    Service,
    /// The holder of an API token.
    Token(Uuid),
    /// A person who signed in with an issuer.
    Person { issuer: Uuid, subject: String },
    /// An endpoint.
    Endpoint(Uuid),
    /// The holder of an enrolment token.
    Enrolment(Uuid),
    /// A workload that an issuer vouches for.
    Workload { issuer: Uuid, subject: String },
}

/// What to look for in the log; what is given narrows.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter<'a> {
    /// Entries before this number.
    pub before: Option<i64>,
    /// Of this actor.
    pub actor: Option<&'a str>,
    /// Of actions that begin so.
    pub action: Option<&'a str>,
    /// On this target.
    pub target: Option<&'a str>,
}

/// A stored entry and the signature on the tree that it completes.
pub type Signed = (AuditEntry, [u8; 64]);

impl Tx {
    /// Writes an audit entry in this transaction, adds it to the tree and signs
    /// the tree's new head. Returns the entry.
    ///
    /// # Errors
    /// If the database refuses, or the log's key cannot be opened.
    pub async fn audit(
        &mut self,
        actor: &Actor,
        action: &str,
        target: impl ToString,
        detail: Value,
    ) -> Result<AuditEntry> {
        // The row's lock makes the order of entries that of commits.
        let log = sqlx::query!(
            "SELECT audit_size, frontier, clock_timestamp() AS \"now!\" FROM journals
             WHERE tenant_id = $1 FOR UPDATE",
            self.tenant
        )
        .fetch_one(&mut *self.inner)
        .await?;
        let key = self.log_key().await?;
        let mut edge = Frontier::new(count(log.audit_size)?, &log.frontier).map_err(corrupt)?;
        let entry = AuditEntry {
            seq: log.audit_size + 1,
            actor: actor.to_string(),
            action: action.to_owned(),
            target: target.to_string(),
            detail,
            // As PostgreSQL keeps it.
            created_at: log.now.trunc_subsecs(6),
        };
        let leaf = entry::leaf(self.tenant, &entry).map_err(corrupt)?;
        let complete = edge.push(leaf);
        let head = TreeHead {
            tenant: self.tenant,
            size: edge.size(),
            root: edge.root(),
            at: entry.created_at,
        };
        let signature = head.sign(&key);
        sqlx::query!(
            "INSERT INTO audit_entries (tenant_id, seq, created_at, actor, action, target, detail,
                                        signature)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            self.tenant,
            entry.seq,
            entry.created_at,
            entry.actor,
            entry.action,
            entry.target,
            entry.detail,
            &signature[..]
        )
        .execute(&mut *self.inner)
        .await?;
        let levels: Vec<i16> = complete.iter().map(|(n, _)| i16::from(n.level)).collect();
        let indices: Vec<i64> = complete.iter().map(|(n, _)| n.index as i64).collect();
        let hashes: Vec<Vec<u8>> = complete.iter().map(|(_, hash)| hash.to_vec()).collect();
        sqlx::query!(
            "INSERT INTO audit_nodes (tenant_id, level, index, hash)
             SELECT $1, level, index, hash
             FROM UNNEST($2::smallint[], $3::bigint[], $4::bytea[]) AS node (level, index, hash)",
            self.tenant,
            &levels,
            &indices,
            &hashes
        )
        .execute(&mut *self.inner)
        .await?;
        sqlx::query!(
            "UPDATE journals SET audit_size = $2, frontier = $3, head_at = $4, head_signature = $5
             WHERE tenant_id = $1",
            self.tenant,
            entry.seq,
            edge.to_bytes(),
            entry.created_at,
            &signature[..]
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(entry)
    }

    /// Audit entries, latest first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn list_audit(&mut self, filter: &AuditFilter<'_>) -> Result<Page<AuditEntry>> {
        let rows = sqlx::query_as!(
            AuditEntry,
            "SELECT seq, actor, action, target, detail, created_at FROM audit_entries
             WHERE tenant_id = $1 AND ($2::bigint IS NULL OR seq < $2)
               AND ($3::text IS NULL OR actor = $3)
               AND ($4::text IS NULL OR starts_with(action, $4))
               AND ($5::text IS NULL OR target = $5)
             ORDER BY seq DESC LIMIT $6",
            self.tenant,
            filter.before,
            filter.actor,
            filter.action,
            filter.target,
            PAGE + 1
        )
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(page(rows, |entry| entry.seq.to_string()))
    }

    /// Entries from a number on, in order, with their signatures.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn audit_from(&mut self, seq: i64, most: i64) -> Result<Vec<Signed>> {
        let rows = sqlx::query!(
            "SELECT seq, actor, action, target, detail, created_at, signature FROM audit_entries
             WHERE tenant_id = $1 AND seq >= $2 ORDER BY seq LIMIT $3",
            self.tenant,
            seq,
            most
        )
        .fetch_all(&mut *self.inner)
        .await?;
        rows.into_iter()
            .map(|row| {
                let entry = AuditEntry {
                    seq: row.seq,
                    actor: row.actor,
                    action: row.action,
                    target: row.target,
                    detail: row.detail,
                    created_at: row.created_at,
                };
                Ok((entry, fixed(row.signature)?))
            })
            .collect()
    }

    /// One entry.
    ///
    /// # Errors
    /// `NotFound` if there is none, or it is past its retention.
    pub async fn find_audit(&mut self, seq: i64) -> Result<Signed> {
        let mut found = self.audit_from(seq, 1).await?;
        match found.pop() {
            Some(signed) if signed.0.seq == seq => Ok(signed),
            _ => Err(StorageError::NotFound),
        }
    }

    /// How many entries the log has, those past their retention included.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn audit_size(&mut self) -> Result<u64> {
        let size = sqlx::query_scalar!(
            "SELECT audit_size FROM journals WHERE tenant_id = $1",
            self.tenant
        )
        .fetch_one(&mut *self.inner)
        .await?;
        count(size)
    }

    /// The key that signs the log's heads.
    ///
    /// # Errors
    /// `NotFound` if the tenant does not exist.
    pub async fn log_public_key(&mut self) -> Result<Vec<u8>> {
        Ok(sqlx::query_scalar!(
            "SELECT log_key FROM journals WHERE tenant_id = $1",
            self.tenant
        )
        .fetch_one(&mut *self.inner)
        .await?)
    }

    /// The latest head: that of the latest entry, whether that is still kept or not.
    ///
    /// # Errors
    /// `NotFound` if there has been no entry.
    pub async fn latest_head(&mut self) -> Result<SignedHead> {
        let row = sqlx::query!(
            "SELECT audit_size, frontier, head_at, head_signature FROM journals
             WHERE tenant_id = $1",
            self.tenant
        )
        .fetch_one(&mut *self.inner)
        .await?;
        let edge = Frontier::new(count(row.audit_size)?, &row.frontier).map_err(corrupt)?;
        let head = TreeHead {
            tenant: self.tenant,
            size: edge.size(),
            root: edge.root(),
            at: row.head_at.ok_or(StorageError::NotFound)?,
        };
        let signature = row.head_signature.ok_or(StorageError::NotFound)?;
        Ok(head.to_wire(&fixed(signature)?))
    }

    /// The root of the tree of the first `size` entries.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn root(&mut self, size: u64) -> Result<Hash> {
        let ranges = vec![(0, size)];
        let mut hashes = self.range_hashes(ranges).await?;
        hashes.pop().ok_or(StorageError::NotFound)
    }

    /// The right edge of the tree of the first `size` entries.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn frontier(&mut self, size: u64) -> Result<Vec<u8>> {
        Ok(self.node_hashes(&cover(0, size)).await?.concat())
    }

    /// Proof that entry `seq` is in the tree of `size` entries, in base64.
    ///
    /// # Errors
    /// `NotFound` if it is not.
    pub async fn prove_inclusion(&mut self, seq: i64, size: u64) -> Result<Vec<String>> {
        let index = count(seq - 1).map_err(|_| StorageError::NotFound)?;
        let ranges = inclusion_ranges(index, size).map_err(|_| StorageError::NotFound)?;
        self.prove(ranges).await
    }

    /// Proof that the trees of two sizes begin alike, in base64; of none, for an
    /// empty first tree or the same size, there is nothing to prove.
    ///
    /// # Errors
    /// `NotFound` if the log has never had the first size.
    pub async fn prove_consistency(&mut self, first: u64, size: u64) -> Result<Vec<String>> {
        if first == 0 || first == size {
            return Ok(Vec::new());
        }
        let ranges = consistency_ranges(first, size).map_err(|_| StorageError::NotFound)?;
        self.prove(ranges).await
    }

    async fn prove(&mut self, ranges: Vec<(u64, u64)>) -> Result<Vec<String>> {
        let hashes = self.range_hashes(ranges).await?;
        Ok(hashes.iter().map(|hash| STANDARD.encode(hash)).collect())
    }

    async fn range_hashes(&mut self, ranges: Vec<(u64, u64)>) -> Result<Vec<Hash>> {
        let covers: Vec<Vec<Node>> = ranges.iter().map(|&(a, b)| cover(a, b)).collect();
        let mut hashes = self.node_hashes(&covers.concat()).await?.into_iter();
        covers
            .iter()
            .map(|cover| {
                let part: Vec<Hash> = hashes.by_ref().take(cover.len()).collect();
                fold(&part).ok_or_else(|| corrupt("an empty range"))
            })
            .collect()
    }

    async fn node_hashes(&mut self, nodes: &[Node]) -> Result<Vec<Hash>> {
        let levels: Vec<i16> = nodes.iter().map(|node| i16::from(node.level)).collect();
        let indices: Vec<i64> = nodes.iter().map(|node| node.index as i64).collect();
        let rows = sqlx::query_scalar!(
            r#"SELECT n.hash FROM UNNEST($2::smallint[], $3::bigint[])
                 WITH ORDINALITY AS asked (level, index, place)
               JOIN audit_nodes n
                 ON n.tenant_id = $1 AND n.level = asked.level AND n.index = asked.index
               ORDER BY asked.place"#,
            self.tenant,
            &levels,
            &indices
        )
        .fetch_all(&mut *self.inner)
        .await?;
        if rows.len() != nodes.len() {
            return Err(corrupt("nodes of the audit tree are missing"));
        }
        rows.into_iter().map(fixed).collect()
    }

    async fn log_key(&mut self) -> Result<SigningKey> {
        let secret = self
            .secret(LOG_SECRET)
            .await?
            .ok_or_else(|| corrupt("the log has no key"))?;
        let secret: &[u8; 32] = secret
            .first_chunk()
            .ok_or_else(|| corrupt("the log's key has another length"))?;
        Ok(SigningKey::from_bytes(secret))
    }

    /// Opens a new tenant's journal: its salt, its log's key, no entries.
    pub(crate) async fn open_journal(&mut self) -> Result<()> {
        let mut random = Zeroizing::new([0u8; 64]);
        rand::rng().fill_bytes(&mut *random);
        let (salt, seed) = random.split_at(32);
        self.create_salt(salt).await?;
        let seed: &[u8; 32] = seed.first_chunk().ok_or_else(|| corrupt("a seed"))?;
        let key = SigningKey::from_bytes(seed);
        self.put_secret(LOG_SECRET, seed).await?;
        sqlx::query!(
            "INSERT INTO journals (tenant_id, log_key) VALUES ($1, $2)",
            self.tenant,
            &key.verifying_key().to_bytes()[..]
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }
}

impl Store {
    /// Makes the audit log's partitions of the month of `today` and the two after
    /// it, and drops those that end before `retain_from`.
    ///
    /// # Errors
    /// If the role may not, or the database refuses.
    pub async fn keep_audit_partitions(
        &self,
        today: NaiveDate,
        retain_from: Option<NaiveDate>,
    ) -> Result<i32> {
        sqlx::query!(
            "SELECT armour_audit_partition(($1::date + make_interval(months => month))::date)
             FROM generate_series(0, 2) AS month",
            today
        )
        .fetch_all(&self.pool)
        .await?;
        let Some(from) = retain_from else {
            return Ok(0);
        };
        Ok(
            sqlx::query_scalar!(r#"SELECT armour_audit_retain($1) AS "dropped!""#, from)
                .fetch_one(&self.pool)
                .await?,
        )
    }
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Platform => f.write_str("platform"),
            Self::Service => f.write_str("service"),
            Self::Token(id) => write!(f, "token:{id}"),
            Self::Person { issuer, subject } => write!(f, "person:{issuer}:{subject}"),
            Self::Endpoint(id) => write!(f, "endpoint:{id}"),
            Self::Enrolment(id) => write!(f, "enrolment:{id}"),
            Self::Workload { issuer, subject } => write!(f, "workload:{issuer}:{subject}"),
        }
    }
}

fn fixed<const N: usize>(bytes: Vec<u8>) -> Result<[u8; N]> {
    bytes
        .try_into()
        .map_err(|_| corrupt("bytes of another length"))
}

fn count(number: i64) -> Result<u64> {
    u64::try_from(number).map_err(corrupt)
}

fn corrupt(error: impl ToString) -> StorageError {
    StorageError::Corrupt(error.to_string())
}

/// When a month's entries may be dropped if they are kept so many days.
pub fn retain_from(now: DateTime<Utc>, days: u32) -> NaiveDate {
    (now - chrono::Duration::days(days.into())).date_naive()
}
