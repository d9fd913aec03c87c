//! The audit log: its entries. The tree over them is in `audit_tree`.

use armour_api::{AuditEntry, Page};
use armour_transparency::{Hash, TreeHead, entry, map::Change};
use chrono::SubsecRound;
use ed25519_dalek::VerifyingKey;
use serde_json::Value;

use crate::{
    actor::Actor,
    audit_actions::AuditAction,
    decode::{corrupt, fixed, to_u64},
    error::{Result, StorageError},
    log_head::HeadRow,
    origin::Origin,
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

/// A stored entry with what its head holds besides.
pub struct SignedEntry {
    /// The entry.
    pub entry: AuditEntry,
    /// The log's signature on the head that it completes.
    pub signature: [u8; 64],
    /// The root of the map of endpoints' states after it; none if it is from before there was
    /// one.
    pub map_root: Option<Hash>,
}

impl Tx {
    /// The tenant's audit log.
    pub fn audit_log(&mut self) -> AuditLog<'_> {
        AuditLog(self)
    }
}

/// The tenant's audit log.
pub struct AuditLog<'a>(&'a mut Tx);

impl AuditLog<'_> {
    /// Writes an audit entry in this transaction, adds it to the tree, changes the map of
    /// endpoints' states as it says and signs the new head. Returns the entry.
    ///
    /// # Errors
    /// If the database refuses, the log's key cannot be opened, or the log or its map is not
    /// what that key has signed.
    pub async fn append(&mut self, actor: &Actor, action: impl AuditAction) -> Result<AuditEntry> {
        self.write(actor, EntryContent::of(action)?, None).await
    }

    /// As [`AuditLog::append`], with the first entry that another key signs than the one
    /// before it.
    pub(crate) async fn append_after(
        &mut self,
        before: &VerifyingKey,
        actor: &Actor,
        action: impl AuditAction,
    ) -> Result<AuditEntry> {
        let content = EntryContent::of(action)?;
        self.write(actor, content, Some(before)).await
    }

    /// `before` signed the head before this entry's, if another key does now. Whoever changed
    /// that head in the database gets no signature for what would follow.
    async fn write(
        &mut self,
        actor: &Actor,
        content: EntryContent,
        before: Option<&VerifyingKey>,
    ) -> Result<AuditEntry> {
        // The row's lock makes the order of entries that of commits.
        let log = sqlx::query_as!(
            HeadRow,
            r#"SELECT audit_size, frontier, map_root, head_at, head_signature,
                      clock_timestamp() AS "now!" FROM journals
               WHERE tenant_id = $1 FOR UPDATE"#,
            self.0.tenant
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        let key = self.0.journals().signing_key().await?;
        log.stored(self.0.tenant, before.unwrap_or(&key.verifying_key()))?;
        let change = Change::of(content.action, &content.target, &content.detail);
        let map_root = match (log.map_root()?, change.map_err(corrupt)?) {
            (Some(root), Some((endpoint, change))) => {
                let map = &mut self.0.endpoint_map();
                Some(map.change(root, endpoint, change).await?)
            }
            (root, _) => root,
        };
        let mut edge = log.edge()?;
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
            map_root,
        };
        let signature = head.sign(&key);
        sqlx::query!(
            "INSERT INTO audit_entries (tenant_id, seq, created_at, actor, action, target, detail,
                                        signature, map_root)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            self.0.tenant,
            entry.seq,
            entry.created_at,
            entry.actor,
            entry.action,
            entry.target,
            entry.detail,
            &signature[..],
            map_root.as_ref().map(|root| &root[..])
        )
        .execute(&mut *self.0.inner)
        .await?;
        self.0.audit_tree().add_nodes(&complete).await?;
        sqlx::query!(
            "UPDATE journals SET audit_size = $2, frontier = $3, head_at = $4,
                    head_signature = $5, map_root = $6
             WHERE tenant_id = $1",
            self.0.tenant,
            entry.seq,
            edge.to_bytes(),
            entry.created_at,
            &signature[..],
            map_root.as_ref().map(|root| &root[..])
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
        let until = filter.action.map(after);
        let rows = sqlx::query_as!(
            AuditEntry,
            r#"SELECT seq, actor, action, target, detail, created_at FROM audit_entries
             WHERE tenant_id = $1 AND ($2::bigint IS NULL OR seq < $2)
               AND ($3::text IS NULL OR actor = $3)
               AND ($4::text IS NULL OR action COLLATE "C" >= $4 AND action COLLATE "C" < $7)
               AND ($5::text IS NULL OR target = $5)
             ORDER BY seq DESC LIMIT $6"#,
            self.0.tenant,
            filter.before,
            filter.actor,
            filter.action,
            filter.target,
            PAGE + 1,
            until.as_deref()
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
            "SELECT seq, actor, action, target, detail, created_at, signature, map_root
             FROM audit_entries
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
                Ok(SignedEntry {
                    entry,
                    signature: fixed(row.signature)?,
                    map_root: row.map_root.map(fixed).transpose()?,
                })
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
            Some(signed) if signed.entry.seq == seq => Ok(signed),
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

/// What comes after all that begins so, in the order of bytes. No function of the text itself:
/// row-level security lets an index serve none that it does not know to tell nothing.
fn after(prefix: &str) -> String {
    format!("{prefix}{}", char::MAX)
}

/// What an entry says of an action.
struct EntryContent {
    action: &'static str,
    target: String,
    detail: Value,
}

impl EntryContent {
    fn of(action: impl AuditAction) -> Result<Self> {
        Ok(Self {
            action: action.into(),
            target: action.target(),
            detail: {
                let mut detail = serde_json::to_value(action).map_err(corrupt)?;
                if let Some(origin) = Origin::current() {
                    origin.tell(&mut detail);
                }
                detail
            },
        })
    }
}
