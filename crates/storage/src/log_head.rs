//! The head of a tenant's audit log, as its journal has it.

use armour_transparency::{Frontier, Hash, TreeHead};
use chrono::{DateTime, SubsecRound, Utc};
use ed25519_dalek::VerifyingKey;
use uuid::Uuid;

use crate::{
    decode::{corrupt, fixed, to_u64},
    error::{Result, StorageError},
};

/// What a journal's row says of the log's head.
pub(crate) struct HeadRow {
    pub audit_size: i64,
    pub frontier: Vec<u8>,
    pub map_root: Option<Vec<u8>>,
    pub head_at: Option<DateTime<Utc>>,
    pub head_signature: Option<Vec<u8>>,
    /// When it was read.
    pub now: DateTime<Utc>,
}

impl HeadRow {
    /// The right edge of the entries' tree.
    pub fn edge(&self) -> Result<Frontier> {
        Frontier::new(to_u64(self.audit_size)?, &self.frontier).map_err(corrupt)
    }

    /// The map's root, if the log has a map.
    pub fn map_root(&self) -> Result<Option<Hash>> {
        self.map_root.clone().map(fixed).transpose()
    }

    /// The head of the latest entry with its signature, unless there is none: whoever changed
    /// it in the database gets no other signature for that.
    ///
    /// # Errors
    /// `Corrupt` if the log's key has not signed it.
    pub fn stored(&self, tenant: Uuid, key: &VerifyingKey) -> Result<Option<(TreeHead, [u8; 64])>> {
        let (Some(at), Some(signature)) = (self.head_at, self.head_signature.clone()) else {
            return match self.audit_size {
                0 => Ok(None),
                _ => Err(corrupt("the audit log has no head")),
            };
        };
        let (edge, signature) = (self.edge()?, fixed(signature)?);
        let head = TreeHead {
            tenant,
            size: edge.size(),
            root: edge.root(),
            at,
            map_root: self.map_root()?,
        };
        // Replicas of the version before sign heads without the map, while there are any.
        let without_map = TreeHead {
            map_root: None,
            ..head.clone()
        };
        let signed = [head, without_map]
            .into_iter()
            .find(|head| head.is_signed(key, &signature));
        let signed = signed.ok_or_else(|| corrupt("the log's key did not sign its head"))?;
        Ok(Some((signed, signature)))
    }

    /// The head as it is now, to be signed.
    ///
    /// # Errors
    /// `Corrupt` if the log's key has not signed the latest entry's, `NotFound` if there has
    /// been no entry.
    pub fn latest(&self, tenant: Uuid, key: &VerifyingKey) -> Result<TreeHead> {
        let stored = self.stored(tenant, key)?;
        let (head, _) = stored.ok_or(StorageError::NotFound)?;
        Ok(TreeHead {
            // As PostgreSQL keeps it.
            at: head.at.max(self.now.trunc_subsecs(6)),
            map_root: self.map_root()?,
            ..head
        })
    }
}
