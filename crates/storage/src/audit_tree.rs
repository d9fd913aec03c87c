//! The hash tree over the audit log, and what it proves.

use armour_api::SignedHead;
use armour_transparency::{
    Hash, Node,
    merkle::{consistency_ranges, cover, fold, inclusion_ranges},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::VerifyingKey;

use crate::{
    decode::{corrupt, fixed, to_u64},
    error::{Result, StorageError},
    log_head::HeadRow,
    tx::Tx,
};

impl Tx {
    /// The hash tree over the tenant's audit log.
    pub fn audit_tree(&mut self) -> AuditTree<'_> {
        AuditTree(self)
    }
}

/// The hash tree over the tenant's audit log.
pub struct AuditTree<'a>(&'a mut Tx);

impl AuditTree<'_> {
    /// The latest head, signed anew: it says that nothing followed until now.
    ///
    /// # Errors
    /// `NotFound` if there has been no entry; if the log's key cannot be opened.
    pub async fn latest_head(&mut self) -> Result<SignedHead> {
        self.0
            .endpoint_map()
            .latest(&[])
            .await
            .map(|(head, _)| head)
    }

    /// The head of the latest entry, whether that is still kept or not, as it was signed with
    /// it.
    ///
    /// # Errors
    /// `NotFound` if there has been no entry.
    pub async fn last_entrys_head(&mut self) -> Result<SignedHead> {
        let row = sqlx::query_as!(
            HeadRow,
            r#"SELECT audit_size, frontier, map_root, head_at, head_signature,
                      clock_timestamp() AS "now!" FROM journals
               WHERE tenant_id = $1"#,
            self.0.tenant
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        let key = fixed(self.0.audit_log().public_key().await?)?;
        let key = VerifyingKey::from_bytes(&key).map_err(corrupt)?;
        let stored = row.stored(self.0.tenant, &key)?;
        let (head, signature) = stored.ok_or(StorageError::NotFound)?;
        Ok(head.to_wire(&signature))
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
        let index = to_u64(seq - 1).map_err(|_| StorageError::NotFound)?;
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

    /// Stores the nodes that an entry completes.
    pub(crate) async fn add_nodes(&mut self, complete: &[(Node, Hash)]) -> Result<()> {
        let levels: Vec<i16> = complete.iter().map(|(n, _)| i16::from(n.level)).collect();
        let indices: Vec<i64> = complete.iter().map(|(n, _)| n.index as i64).collect();
        let hashes: Vec<Vec<u8>> = complete.iter().map(|(_, hash)| hash.to_vec()).collect();
        sqlx::query!(
            "INSERT INTO audit_nodes (tenant_id, level, index, hash)
             SELECT $1, level, index, hash
             FROM UNNEST($2::smallint[], $3::bigint[], $4::bytea[]) AS node (level, index, hash)",
            self.0.tenant,
            &levels,
            &indices,
            &hashes
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
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
            self.0.tenant,
            &levels,
            &indices
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        if rows.len() != nodes.len() {
            return Err(corrupt("nodes of the audit tree are missing"));
        }
        rows.into_iter().map(fixed).collect()
    }
}
