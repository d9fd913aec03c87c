//! The audit log: its entries. The tree over them is in `audit_tree`.

use armour_api::{AuditEntry, Page};
use armour_transparency::{Frontier, TreeHead, entry};
use chrono::SubsecRound;
use serde_json::Value;

use crate::{
    actor::Actor,
    audit_actions::AuditAction,
    decode::{corrupt, fixed, to_u64},
    error::{Result, StorageError},
    page::{PAGE, page},
    tx::Tx,
};

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
pub type SignedEntry = (AuditEntry, [u8; 64]);

impl Tx {
    /// The tenant's audit log.
    pub fn audit_log(&mut self) -> AuditLog<'_> {
        AuditLog(self)
    }
}

/// The tenant's audit log.
pub struct AuditLog<'a>(&'a mut Tx);

impl AuditLog<'_> {
    /// Writes an audit entry in this transaction, adds it to the tree and signs
    /// the tree's new head. Returns the entry.
    ///
    /// # Errors
    /// If the database refuses, or the log's key cannot be opened.
    pub async fn append(&mut self, actor: &Actor, action: impl AuditAction) -> Result<AuditEntry> {
        let content = EntryContent {
            action: action.into(),
            target: action.target(),
            detail: serde_json::to_value(action).map_err(corrupt)?,
        };
        self.write(actor, content).await
    }

    async fn write(&mut self, actor: &Actor, content: EntryContent) -> Result<AuditEntry> {
        // The row's lock makes the order of entries that of commits.
        let log = sqlx::query!(
            "SELECT audit_size, frontier, clock_timestamp() AS \"now!\" FROM journals
             WHERE tenant_id = $1 FOR UPDATE",
            self.0.tenant
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        let key = self.0.journals().signing_key().await?;
        let mut edge = Frontier::new(to_u64(log.audit_size)?, &log.frontier).map_err(corrupt)?;
        let entry = AuditEntry {
            seq: log.audit_size + 1,
            actor: actor.to_string(),
            action: content.action.to_owned(),
            target: content.target,
            detail: content.detail,
            // As PostgreSQL keeps it.
            created_at: log.now.trunc_subsecs(6),
        };
        let leaf = entry::leaf(self.0.tenant, &entry).map_err(corrupt)?;
        let complete = edge.push(leaf);
        let head = TreeHead {
            tenant: self.0.tenant,
            size: edge.size(),
            root: edge.root(),
            at: entry.created_at,
        };
        let signature = head.sign(&key);
        sqlx::query!(
            "INSERT INTO audit_entries (tenant_id, seq, created_at, actor, action, target, detail,
                                        signature)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            self.0.tenant,
            entry.seq,
            entry.created_at,
            entry.actor,
            entry.action,
            entry.target,
            entry.detail,
            &signature[..]
        )
        .execute(&mut *self.0.inner)
        .await?;
        self.0.audit_tree().add_nodes(&complete).await?;
        sqlx::query!(
            "UPDATE journals SET audit_size = $2, frontier = $3, head_at = $4, head_signature = $5
             WHERE tenant_id = $1",
            self.0.tenant,
            entry.seq,
            edge.to_bytes(),
            entry.created_at,
            &signature[..]
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(entry)
    }

    /// Audit entries, latest first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn list(&mut self, filter: &AuditFilter<'_>) -> Result<Page<AuditEntry>> {
        let rows = sqlx::query_as!(
            AuditEntry,
            "SELECT seq, actor, action, target, detail, created_at FROM audit_entries
             WHERE tenant_id = $1 AND ($2::bigint IS NULL OR seq < $2)
               AND ($3::text IS NULL OR actor = $3)
               AND ($4::text IS NULL OR starts_with(action, $4))
               AND ($5::text IS NULL OR target = $5)
             ORDER BY seq DESC LIMIT $6",
            self.0.tenant,
            filter.before,
            filter.actor,
            filter.action,
            filter.target,
            PAGE + 1
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        Ok(page(rows, |entry| entry.seq.to_string()))
    }

    /// Entries from a number on, in order, with their signatures.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn list_from(&mut self, seq: i64, limit: i64) -> Result<Vec<SignedEntry>> {
        let rows = sqlx::query!(
            "SELECT seq, actor, action, target, detail, created_at, signature FROM audit_entries
             WHERE tenant_id = $1 AND seq >= $2 ORDER BY seq LIMIT $3",
            self.0.tenant,
            seq,
            limit
        )
        .fetch_all(&mut *self.0.inner)
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
    pub async fn find(&mut self, seq: i64) -> Result<SignedEntry> {
        let mut found = self.list_from(seq, 1).await?;
        match found.pop() {
            Some(signed) if signed.0.seq == seq => Ok(signed),
            _ => Err(StorageError::NotFound),
        }
    }

    /// How many entries the log has, those past their retention included.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn size(&mut self) -> Result<u64> {
        let size = sqlx::query_scalar!(
            "SELECT audit_size FROM journals WHERE tenant_id = $1",
            self.0.tenant
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        to_u64(size)
    }

    /// The key that signs the log's heads.
    ///
    /// # Errors
    /// `NotFound` if the tenant does not exist.
    pub async fn public_key(&mut self) -> Result<Vec<u8>> {
        Ok(sqlx::query_scalar!(
            "SELECT log_key FROM journals WHERE tenant_id = $1",
            self.0.tenant
        )
        .fetch_one(&mut *self.0.inner)
        .await?)
    }
}

/// What an entry says of an action.
struct EntryContent {
    action: &'static str,
    target: String,
    detail: Value,
}
