//! The audit log, and what proves it.

use armour_api::{
    AuditEntry, ConsistencyProof, InclusionProof, LogHead, LogKeyRotation, Page, Reason,
};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use reqwest::Response;

use crate::{Call, Client, Result};

/// Which entries are listed; all that is absent matches.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Of this actor, for example `token:<id>`.
    pub actor: Option<String>,
    /// Actions that begin so, for example `pair`.
    pub action: Option<String>,
    /// On this target.
    pub target: Option<String>,
}

/// A log on its way, a line for each entry.
pub struct AuditExport {
    answer: Response,
}

impl Client {
    /// Entries, latest first.
    pub fn audit(&self, filter: &AuditFilter) -> Call<'_, Page<AuditEntry>> {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let conditions = [
            ("actor", &filter.actor),
            ("action", &filter.action),
            ("target", &filter.target),
        ];
        for (name, value) in conditions {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        self.read(format!("/v1/audit?{}", query.finish()))
    }

    /// The latest signed head of the log's tree.
    pub fn audit_head(&self) -> Call<'_, LogHead> {
        self.read("/v1/audit/head")
    }

    /// An entry and the proof that it is in the tree.
    pub fn inclusion_proof(&self, seq: i64) -> Call<'_, InclusionProof> {
        self.read(format!("/v1/audit/{seq}/proof"))
    }

    /// The proof that a later tree, the latest if no size is given, begins with an earlier
    /// one.
    pub fn consistency_proof(&self, first: u64, size: Option<u64>) -> Call<'_, ConsistencyProof> {
        let size = size.map_or_else(String::new, |size| format!("&size={size}"));
        self.read(format!("/v1/audit/consistency?first={first}{size}"))
    }

    /// Replaces the key that signs the log.
    pub fn rotate_log_key(&self, reason: &str) -> Call<'_, LogKeyRotation, Reason> {
        let reason = reason.to_owned();
        self.act("/v1/audit/key-rotations", Reason { reason })
    }

    /// The whole log, or what follows from an entry on.
    ///
    /// # Errors
    /// If refused or out of reach.
    pub async fn audit_export(&self, from: Option<i64>) -> Result<AuditExport> {
        let path = match from {
            Some(from) => format!("/v1/audit/export?from={from}"),
            None => "/v1/audit/export".to_owned(),
        };
        let answer = self.stream(&path).await?;
        Ok(AuditExport { answer })
    }
}

impl AuditExport {
    /// How many entries follow, if the control plane says so.
    pub fn entries(&self) -> Option<u64> {
        let value = self.answer.headers().get("x-armour-entries")?;
        value.to_str().ok()?.parse().ok()
    }

    /// The export's bytes, as they come.
    pub fn bytes(self) -> impl Stream<Item = reqwest::Result<Bytes>> + Send {
        self.answer.bytes_stream().boxed()
    }
}
